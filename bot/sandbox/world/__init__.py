"""
Generated data of a tournament whose truth is known: schema, market, files, and a newer data version.

Read ``schema``, ``market``, ``generate``, ``files``, ``upgrade``.
"""
