"""
Generated tournament data: the schema, the market behind the rows, the files, and the next data version.

It imports only ``tournament`` of the packages outside the sandbox. Read ``schema``, ``generate``, ``upgrade``.
"""
