//go:build ignore

// A clock of its own for a user-mode Linux kernel, loaded into it with LD_PRELOAD.
//
// Such a kernel takes its time from libc only: CLOCK_MONOTONIC is its clocksource. Answering it here gives the
// kernel an oscillator of its own, and nothing else of the machine is touched.
//
//	MEANTIME_LAB_STRAIGHT  if it is there, the kernel keeps the machine's clock
//	MEANTIME_LAB_PPM       rate error of the oscillator
//	MEANTIME_LAB_RING      file of RING_SIZE entries, mapped: when the kernel last read its clocksource
//	MEANTIME_LAB_WALK      file of a struct walk, mapped: how the oscillator strays; none: it does not
//
// The ring is for the truth. A program in such a kernel needs 40 µs for a system call, unevenly before and after
// the clock is read: brackets around the call leave 20 µs open. The same reading bracketed here, where the
// kernel takes its time from, is known to 0.1 µs; by the time stamp counter the program finds it in the ring.
//
// The kernel's timers (timer_settime) stay as they are: the kernel sets them relative, for 10 ms at most or to
// the next event, reads the clock when they fire and sets them again when it is early, so that a rate error
// of 100 ppm moves a wake-up by a microsecond and no clock at all.
//
// Besides, it lets such a kernel start on processors that have more state than it knows of; see ptrace below.
//
// The line above keeps this file out of the Go build; the lab compiles it with gcc at run time.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

// Enough for all readings between a program's clock call and its look at the ring, and less than a page.
#define RING_SIZE 128

struct reading {
	int64_t before, after; // time stamp counter
};

// How far the oscillator has strayed after each whole second, drawn by the lab (wander.go does the same sum). Between two
// entries its rate is constant.
struct walk {
	int64_t start; // written here, so that the lab knows where the table begins
	int64_t count;
	double phase[]; // ns
};

static int (*real_gettime)(clockid_t, struct timespec *);
static int64_t start; // where the bend begins, so that the product below stays small and exact
static double rate;
static int straight;
static struct reading *ring; // NULL: none asked for
static unsigned next_reading;
static struct walk *walk; // NULL: none asked for

static int64_t nanoseconds(const struct timespec *t) { return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec; }

static void store(struct timespec *t, int64_t ns)
{
	t->tv_sec = ns / 1000000000;
	t->tv_nsec = ns % 1000000000;
}

// The file that a variable names, mapped; NULL without one. A size of 0 is the file's own.
static void *map_file(const char *variable, size_t size)
{
	const char *path = getenv(variable);
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (file < 0)
		return NULL;
	if (!size)
		size = (size_t)lseek(file, 0, SEEK_END);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	return p == MAP_FAILED ? NULL : p;
}

// By how many ns the oscillator has strayed, so long after the start.
static int64_t strayed(int64_t since)
{
	int64_t second;

	if (!walk || since <= 0)
		return 0;
	second = since / 1000000000;
	if (second > walk->count - 2)
		second = walk->count - 2;
	double part = (double)(since - second * 1000000000) * 1e-9;
	return (int64_t)(walk->phase[second] + (walk->phase[second + 1] - walk->phase[second]) * part);
}

static int64_t counter(void)
{
	int64_t c;

	// The fences keep the reading between the instructions around it.
	_mm_lfence();
	c = (int64_t)__rdtsc();
	_mm_lfence();
	return c;
}

// The first call may come before any constructor has run, and later ones come from signal handlers: no lock,
// and everything is set before real_gettime is, which says that it is.
static void prepare(void)
{
	int (*next)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	const char *ppm = getenv("MEANTIME_LAB_PPM");
	struct timespec now;

	straight = getenv("MEANTIME_LAB_STRAIGHT") != NULL;
	rate = ppm ? strtod(ppm, NULL) * 1e-6 : 0;
	next(CLOCK_MONOTONIC_RAW, &now);
	start = nanoseconds(&now);
	ring = map_file("MEANTIME_LAB_RING", RING_SIZE * sizeof(struct reading));
	walk = map_file("MEANTIME_LAB_WALK", 0);
	if (walk)
		walk->start = start;
	__atomic_store_n(&real_gettime, next, __ATOMIC_RELEASE);
}

__attribute__((constructor)) static void prepare_early(void) { prepare(); }

int clock_gettime(clockid_t clock, struct timespec *t)
{
	struct reading r;
	int failed;

	if (!__atomic_load_n(&real_gettime, __ATOMIC_ACQUIRE))
		prepare();
	if (clock != CLOCK_MONOTONIC || straight)
		return real_gettime(clock, t);
	// The machine's own clock may be steered while the lab runs; its raw oscillator is not.
	r.before = counter();
	failed = real_gettime(CLOCK_MONOTONIC_RAW, t);
	r.after = counter();
	if (failed)
		return failed;
	if (ring)
		ring[__atomic_fetch_add(&next_reading, 1, __ATOMIC_RELAXED) % RING_SIZE] = r;
	int64_t now = nanoseconds(t);
	store(t, now + (int64_t)(rate * (double)(now - start)) + strayed(now - start));
	return 0;
}

// What Linux hands out and takes of a task's extended processor state (Intel SDM, volume 1, 13.4): a word of its header says which parts
// of it are in use; the others are as after a reset.
#define IN_USE 512 // bytes before that word
#define AMX (3UL << 17)
#define MOST_STATE 65536

static long (*real_ptrace)(int, ...);

// state_size is how much a task's whole state takes on this processor, 0 where nobody says.
static size_t state_size(pid_t task, void *address, char *room)
{
	static size_t size;
	struct iovec all = {.iov_base = room, .iov_len = MOST_STATE};

	if (!size && !real_ptrace(PTRACE_GETREGSET, task, address, &all))
		size = all.iov_len;
	return size;
}

// set_state sets a task's whole state to what the kernel above knows of it, which may be its beginning only.
static long set_state(pid_t task, void *address, struct iovec *known)
{
	// That kernel has one processor and sets no state from its signal handlers.
	static char state[MOST_STATE];
	size_t size = state_size(task, address, state);
	struct iovec all = {.iov_base = state, .iov_len = size};
	uint64_t in_use;

	if (known->iov_len >= size || known->iov_len < IN_USE + sizeof(in_use))
		return real_ptrace(PTRACE_SETREGSET, task, address, known);
	memset(state, 0, size);
	memcpy(state, known->iov_base, known->iov_len);
	memcpy(&in_use, state + IN_USE, sizeof(in_use));
	in_use &= ~AMX;
	memcpy(state + IN_USE, &in_use, sizeof(in_use));
	return real_ptrace(PTRACE_SETREGSET, task, address, &all);
}

// Linux 6.1 as a user's program keeps 2696 bytes of each task's state (HOST_FP_SIZE in arch/x86/um/user-offsets.c), all that there was
// before AMX, while the machine's Linux takes the whole or nothing (xstateregs_set in arch/x86/kernel/fpu/regset.c): on a processor with
// AMX it aborted at its first program. No program in it can use AMX, for which it would have to ask the kernel.
long ptrace(enum __ptrace_request request, ...)
{
	va_list list;

	va_start(list, request);
	pid_t task = va_arg(list, pid_t);
	void *address = va_arg(list, void *);
	void *data = va_arg(list, void *);
	va_end(list);
	if (!real_ptrace)
		real_ptrace = (long (*)(int, ...))dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
		return set_state(task, address, data);
	return real_ptrace(request, task, address, data);
}
