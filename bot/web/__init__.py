"""
HTTP: status pages, Prometheus metrics and the webhook, served by the daemon; ``status`` is also a command.

It imports ``live``, ``record`` and all below them. Read ``server``, ``status``, ``pages``, ``prometheus``.
"""
