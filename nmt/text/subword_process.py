"""A subword model in a process of its own: texts go in, ids come back.

The process is a fresh interpreter on two pipes that imports nothing but what it needs: a fork could keep the locks of
other threads for ever, and multiprocessing would run the main module of the program again. It is in a session of its
own, so that Ctrl-C reaches only who started it, and ends with its pipes, whatever became of the other end.

What goes through the pipes is plain bytes behind their number: first the model's file, then texts, each on a line,
against ids and lengths. Nothing is pickled.
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
    """Encodes texts beside the caller. After each `send` must come a `receive`: two `send`s could wait for ever."""

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
        """Have texts encoded, none of which may hold a line feed.

        Raises:
            DataError: the process is dead.
            UnicodeEncodeError: a text holds half of a surrogate pair; nothing was sent.
        """
        content = "\n".join(texts).encode("utf-8")
        assert content.count(b"\n") == max(0, len(texts) - 1), "a text holds a line feed"
        self._write(_HEADER.pack(len(texts), len(content)), content)

    def receive(self) -> EncodedTexts:
        """Wait for the ids of the texts sent.

        Raises:
            DataError: the process is dead.
        """
        pipe = self._pipe(self._process.stdout)
        try:
            num_texts, num_ids = _HEADER.unpack(_read(pipe, _HEADER.size))
            len_N = np.frombuffer(_read(pipe, 4 * num_texts), np.int32)
            return EncodedTexts(np.frombuffer(_read(pipe, 4 * num_ids), np.int32), len_N)
        except EOFError:
            raise self._died() from None

    def _write(self, header: bytes, content: bytes) -> None:
        pipe = self._pipe(self._process.stdin)
        try:
            pipe.write(header)
            pipe.write(content)
            pipe.flush()
        except BrokenPipeError:  # which the CLI would take for that of a reader of our output
            raise self._died() from None

    def _died(self) -> DataError:
        self._process.communicate()
        status = self._process.returncode
        how = f"ended with status {status}" if status >= 0 else f"was stopped by {signal.Signals(-status).name}"
        return DataError(
            f"the second process that encodes text must live, but {how}: free memory if there was too little, "
            "or allow only one CPU (taskset -c 0 nmt …), for which there is no second process"
        )

    def _end(self) -> None:
        self._process.kill()  # it has nothing to lose, and may be in the middle of texts that nobody wants any more
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                self._pipe(pipe).close()
        self._process.wait()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def serve() -> None:
    """Encode the texts that come in, until no more come: the life of the process."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to all processes at once, it must end first who started this
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    texts_in, ids_out = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError):  # the other end has gone, perhaps in the middle of a message
        _, num_bytes = _HEADER.unpack(_read(texts_in, _HEADER.size))
        subword = SubwordModel.from_bytes(_read(texts_in, num_bytes), name="the model sent")
        while True:
            num_texts, num_bytes = _HEADER.unpack(_read(texts_in, _HEADER.size))
            content = _read(texts_in, num_bytes).decode("utf-8")
            encoded = subword.encode_flat(content.split("\n") if num_texts else [])
            ids_out.write(_HEADER.pack(num_texts, len(encoded.ids)))
            ids_out.write(encoded.len_N.tobytes())
            ids_out.write(encoded.ids.tobytes())
            ids_out.flush()


def _read(pipe: IO[bytes], num_bytes: int) -> bytes:
    """Read so many bytes, and no fewer.

    Raises:
        EOFError: no more come.
    """
    content = pipe.read(num_bytes)
    if len(content) < num_bytes:
        raise EOFError
    return content
