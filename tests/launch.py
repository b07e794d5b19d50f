"""Does odd things to its own process, then becomes another program:  launch.py ODDITY... -- PROGRAM [ARG...]

  close:N            descriptor N is closed          open:N=FLAGS:PATH  descriptor N is PATH (FLAGS: r w p(ath) d(ir))
  pidfd:N=PID        descriptor N is a pidfd         pipe:N / socket:N  descriptor N is a pipe's writing end with the
  rlimit:NAME=S[:H]  soft and hard resource limit                       reader gone / a socket
  umask:OCTAL        nnp  (no_new_privs)             ignore:SIG  block:SIG  signal ignored, blocked
  env:NAME=VALUE     rawenv:TEXT (no "=" needed)     alarm:SECONDS      a timer is running
  argv0:TEXT         argc0  (no argument at all)     nice:N  idle  slack:NS  scheduling
  personality:HEX    cwd:PATH  rmcwd (working directory deleted)        securebits:N  groups:G,G
  repeat:N           the last three arguments are given N times
"""
import ctypes, os, resource, signal, socket, sys

libc = ctypes.CDLL(None, use_errno=True)
split = sys.argv.index("--")
oddities, program, args = sys.argv[1:split], sys.argv[split + 1], [os.fsencode(a) for a in sys.argv[split + 1:]]
env = [b"PATH=/usr/bin:/usr/sbin"]
last = []  # what must wait until nothing else has to work

def check(result, what):
    if result != 0:
        sys.exit(f"launch.py: {what}: {os.strerror(ctypes.get_errno())}")

def put(fd, number):
    if fd != number:
        os.dup2(fd, number, inheritable=True)
        os.close(fd)
    else:
        os.set_inheritable(fd, True)

for oddity in oddities:
    word, _, value = oddity.partition(":")
    if word == "close":
        last.append(lambda n=int(value): os.close(n))
    elif word == "open":
        number, _, rest = value.partition("=")
        flags, _, path = rest.partition(":")
        mode = os.O_RDWR if "r" in flags and "w" in flags else os.O_WRONLY if "w" in flags else os.O_RDONLY
        mode |= (os.O_PATH if "p" in flags else 0) | (os.O_DIRECTORY if "d" in flags else 0)
        put(os.open(path, mode), int(number))
    elif word == "pidfd":
        number, _, pid = value.partition("=")
        put(os.pidfd_open(int(pid)), int(number))
    elif word == "pipe":
        reader, writer = os.pipe()
        os.close(reader)
        put(writer, int(value))
    elif word == "socket":
        put(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach(), int(value))
    elif word == "rlimit":
        name, _, limits = value.partition("=")
        soft, _, hard = limits.partition(":")
        number = lambda text: resource.RLIM_INFINITY if text == "inf" else int(text)
        limit = (number(soft), number(hard or soft))
        last.append(lambda n=getattr(resource, "RLIMIT_" + name), l=limit: resource.setrlimit(n, l))
    elif word == "umask":
        os.umask(int(value, 8))
    elif word == "nnp":
        check(libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
    elif word == "slack":
        check(libc.prctl(29, ctypes.c_ulong(int(value)), 0, 0, 0), "timer slack")
    elif word == "securebits":
        check(libc.prctl(28, int(value), 0, 0, 0), "securebits")
    elif word == "ignore":
        signal.signal(getattr(signal, value), signal.SIG_IGN)
    elif word == "block":
        which = signal.valid_signals() if value == "all" else {getattr(signal, value)}
        signal.pthread_sigmask(signal.SIG_BLOCK, which)
    elif word == "env":
        env.append(os.fsencode(value))
    elif word == "rawenv":
        env.append(os.fsencode(value))
    elif word == "noenv":
        env = None
    elif word == "alarm":
        signal.setitimer(signal.ITIMER_REAL, float(value))
    elif word == "argv0":
        args[0] = os.fsencode(value)
    elif word == "argc0":
        args = []
    elif word == "repeat":
        args = args[:-3] + args[-3:] * int(value)
    elif word == "nice":
        os.nice(int(value))
    elif word == "idle":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif word == "personality":
        if libc.personality(int(value, 16)) == -1:
            check(-1, "personality")
    elif word == "cwd":
        os.chdir(value)
    elif word == "rmcwd":
        os.mkdir(value)
        os.chdir(value)
        os.rmdir(value)
    else:
        sys.exit(f"launch.py: {oddity}: what?")

def vector(items):
    return (ctypes.c_char_p * (len(items) + 1))(*items, None)

signal.signal(signal.SIGPIPE, signal.SIG_IGN if "ignore:SIGPIPE" in oddities else signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN if "ignore:SIGXFSZ" in oddities else signal.SIG_DFL)
argv, envp = vector(args), None if env is None else vector(env)
for action in last:
    action()
libc.execve(os.fsencode(program), argv, envp)
os._exit(126)
