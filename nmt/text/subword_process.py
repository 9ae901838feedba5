"""A subword model in a process of its own: texts go in, ids come back.

The process is a fresh interpreter on two pipes that imports nothing but what it needs: a fork could keep the locks of
other threads for ever, and multiprocessing would run the main module of the program again. It is in a session of its
own, so that Ctrl-C reaches only who started it, and ends with its pipes, whatever became of the other end.
"""

import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO

from nmt.errors import DataError
from nmt.text.subword import EncodedTexts, SubwordModel

_SERVE = "import sys; sys.path[:] = sys.argv[1:]; from nmt.text.subword_process import serve; serve()"


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
            self._write(self._subword)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._end()

    def send(self, texts: Sequence[str]) -> None:
        """Have texts encoded.

        Raises:
            DataError: the process is dead.
        """
        self._write(texts)

    def receive(self) -> EncodedTexts:
        """Wait for the ids of the texts sent; an error of the encoder is raised here.

        Raises:
            DataError: the process is dead.
        """
        try:
            reply: EncodedTexts | Exception = pickle.load(self._pipe(self._process.stdout))
        except (EOFError, pickle.UnpicklingError):
            raise self._died() from None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _write(self, message: object) -> None:
        pipe = self._pipe(self._process.stdin)
        try:
            pickle.dump(message, pipe, pickle.HIGHEST_PROTOCOL)
            pipe.flush()
        except BrokenPipeError:  # which the door would take for that of a reader of our output
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
    with suppress(EOFError, pickle.UnpicklingError):  # the other end has gone, perhaps in the middle of a message
        subword: SubwordModel = pickle.load(sys.stdin.buffer)
        while True:
            texts: Sequence[str] = pickle.load(sys.stdin.buffer)
            try:
                reply: EncodedTexts | Exception = subword.encode_flat(texts)
            except Exception as error:
                reply = error
            pickle.dump(reply, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
            sys.stdout.buffer.flush()
