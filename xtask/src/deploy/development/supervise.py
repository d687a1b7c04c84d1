"""PID 1 of a container in development: runs a command, and on SIGHUP lets it take the code that receive.py has written.

Arguments: how the command takes code (`signal`: it takes SIGHUP itself; `itself`: it watches its files; `restart`), and the command.
A command that has ended is started again by the next SIGHUP. SIGTERM and SIGINT end the command and the container.
"""

import os
import signal
import subprocess
import sys
import time

mode, command = sys.argv[1], sys.argv[2:]
SIGNALS = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
# In seconds. A command that takes longer to end is killed.
LIMIT = 5.0


def start():
    try:
        return subprocess.Popen(command, start_new_session=True, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS))
    except OSError as error:
        say(f"{command[0]}: {error.strerror}; it is tried again after the next change")


def say(text):
    print(f"pocdeploy: {text}", file=sys.stderr, flush=True)


def adopt():
    """Takes the exit codes of the command and of processes that lost their parent."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None:
            return
        if child is not None and found.si_pid == child.pid:
            child.poll()
        else:
            os.waitpid(found.si_pid, 0)


def group_is_there(group):
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end():
    """Ends the command, then what it started."""
    if child is None:
        return
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(LIMIT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if group_is_there(child.pid):
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                return
        until = time.monotonic() + 1.0
        while group_is_there(child.pid) and time.monotonic() < until:
            adopt()
            time.sleep(0.01)


signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
child = start()
while True:
    number = signal.sigwait(SIGNALS)
    if number == signal.SIGHUP:
        ended = child is None or child.poll() is not None
        if mode == "signal" and not ended:
            child.send_signal(signal.SIGHUP)
        elif mode == "restart" or ended:
            end()
            child = start()
    elif number == signal.SIGCHLD:
        ran = child is not None and child.returncode is None
        adopt()
        if ran and child.returncode is not None:
            say(f"the command has ended with {child.returncode}; it starts again after the next change")
    else:
        end()
        sys.exit(0)
