"""
Hosted: a champion as a pickle for Numerai Model Uploads, checked in a fresh environment and uploaded.

It imports ``submission`` and packages below it; ``_model`` imports only packages that Numerai has installed. Read ``_model``,
``_pickling``, ``_environment``, ``_runner``, ``export``, ``upload``.
"""
