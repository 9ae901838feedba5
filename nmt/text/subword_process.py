"""A subword model in a second process, which receives texts and returns ids.

The process is a new interpreter on two pipes that imports only what it needs: a fork could inherit locks held by other
threads, and multiprocessing would run the main module of the program again. It has its own session, so that Ctrl-C
reaches only the caller, and ends when its pipes are closed, however the caller ended.

Messages are plain bytes after their sizes: first the model's file, then texts, one per line, answered by ids and
lengths. Nothing is pickled.
"""

import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO

import numpy as np

from nmt.errors import DataError
from nmt.text.subword import SubwordModel
from nmt.text.word_table import EncodedTexts

_SERVE = "import sys; sys.path[:] = sys.argv[1:]; from nmt.text.subword_process import serve; serve()"
_HEADER = struct.Struct("<qq")  # texts: their number and bytes; ids: the number of texts and of ids


class SubwordProcess:
    """Encodes texts in parallel with the caller. Each `send` needs a `receive` after it: two `send`s may deadlock."""

    def __init__(self, subword: SubwordModel) -> None:
        self._subword = subword

    def __enter__(self) -> "SubwordProcess":
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            content = self._subword.to_bytes()
            self._write(_HEADER.pack(1, len(content)), content)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._end()

    def send(self, texts: Sequence[str]) -> None:
        """Send texts to be encoded; none may contain a line feed.

        Raises:
            DataError: if the process is dead.
            UnicodeEncodeError: if a text contains an unpaired surrogate; nothing was sent.
        """
        content = "\n".join(texts).encode("utf-8")
        assert content.count(b"\n") == max(0, len(texts) - 1), "a text holds a line feed"
        self._write(_HEADER.pack(len(texts), len(content)), content)

    def receive(self) -> EncodedTexts:
        """Wait for the ids of the texts sent.

        Raises:
            DataError: if the process is dead.
        """
        pipe = self._pipe(self._process.stdout)
        try:
            num_texts, num_ids = _HEADER.unpack(_read(pipe, _HEADER.size))
            lens = np.frombuffer(_read(pipe, 4 * num_texts), np.int32)
            return EncodedTexts(np.frombuffer(_read(pipe, 4 * num_ids), np.int32), lens)
        except EOFError:
            raise self._died() from None

    def _write(self, header: bytes, content: bytes) -> None:
        pipe = self._pipe(self._process.stdin)
        try:
            pipe.write(header)
            pipe.write(content)
            pipe.flush()
        except BrokenPipeError:  # the CLI would mistake it for a closed standard output
            raise self._died() from None

    def _died(self) -> DataError:
        self._process.communicate()
        status = self._process.returncode
        how = f"ended with status {status}" if status >= 0 else f"was stopped by {signal.Signals(-status).name}"
        return DataError(
            f"the second process that encodes text {how}: free memory if there was too little, "
            "or allow only one CPU (taskset -c 0 nmt …), for which there is no second process"
        )

    def _end(self) -> None:
        self._process.kill()  # it has no state to save, and may still be encoding
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                self._pipe(pipe).close()
        self._process.wait()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def serve() -> None:
    """Encode texts from stdin until it is closed: the main function of the process."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # if all processes get one, the caller must end first
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    texts_in, ids_out = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError):  # the caller has closed the pipe, perhaps in the middle of a message
        _, num_bytes = _HEADER.unpack(_read(texts_in, _HEADER.size))
        subword = SubwordModel.from_bytes(_read(texts_in, num_bytes), name="the model sent")
        while True:
            num_texts, num_bytes = _HEADER.unpack(_read(texts_in, _HEADER.size))
            content = _read(texts_in, num_bytes).decode("utf-8")
            encoded = subword.encode_flat(content.split("\n") if num_texts else [])
            ids_out.write(_HEADER.pack(num_texts, len(encoded.ids)))
            ids_out.write(encoded.lens.tobytes())
            ids_out.write(encoded.ids.tobytes())
            ids_out.flush()


def _read(pipe: IO[bytes], num_bytes: int) -> bytes:
    """Read exactly this number of bytes.

    Raises:
        EOFError: if there are fewer.
    """
    content = pipe.read(num_bytes)
    if len(content) < num_bytes:
        raise EOFError
    return content
