"""
Transfer: files of a data version over the network, whole, resumed, or in parts.

It imports what ``data`` may import. Read ``resumable_download``, ``ranges``, ``tail_download``, ``column_download``.
"""
