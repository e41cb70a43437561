"""A client that counts the bytes of the files that it was sent."""

from dataclasses import replace

from bot.tournament.client import NumeraiClient


class CountingClient(NumeraiClient):
    """
    A client that counts.

    Attributes:
        counted: Name of the file whose bytes count; empty counts all files.
        taken: Bytes so far.
    """

    counted = ""
    taken = 0

    def download(self, filename, headers=None, **options):
        inner = super().download(filename, headers, **options)
        return _Counted(self, inner) if self.counted in ("", filename) else inner


class _Counted:
    def __init__(self, client, inner):
        self._client, self._inner = client, inner

    def __enter__(self):
        download = self._inner.__enter__()

        def counted():
            for piece in download.chunks:
                self._client.taken += len(piece)
                yield piece

        return replace(download, chunks=counted())

    def __exit__(self, *error):
        return self._inner.__exit__(*error)
