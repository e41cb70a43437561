"""
HTTP pages, Prometheus metrics and the webhook of the daemon; ``status`` also serves the command `bot status`.

It imports ``live``, ``reporting``, ``record`` and the packages below them. Read ``server``, ``application``, ``status``,
``content``, ``pages``, ``prometheus``.
"""
