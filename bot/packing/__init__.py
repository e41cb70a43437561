"""
Packing: one signed file with an artifact, and a storage that two machines share.

It imports ``serving`` and packages below it. Read ``public_keys``, ``keys``, ``pack_file``, ``storage``, ``look_record``.
``keys`` and ``pack_file`` need the package cryptography, and ``storage`` needs fsspec: the extra ``remote``.
"""
