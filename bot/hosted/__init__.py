"""
Numerai Model Uploads: a champion as a pickle that runs on Numerai's machines, tested in a clean room.

It imports ``submission`` and all below it; ``model`` imports only what Numerai has installed. Read ``_model``,
``_pickling``, ``_environment``, ``_runner``, ``export``.
"""
