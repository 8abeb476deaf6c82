/* Load generator: many WebSocket clients on one core, without a library.
 *
 * It opens the sockets that a plan describes, sends at fixed intended times, and counts what arrives. It knows WebSocket
 * framing (RFC 6455) and nothing of what is said in the frames: the plan has the handshakes, the first frames, the
 * message to publish with the places to fill in, and the marker by which messages are found in what arrives, however
 * many of them a frame has. So one generator drives every server alike.
 *
 * A message's stamp is: marker, run (2 hex digits), intended time in µs (12), number in this run (8). Latency counts from
 * the intended time, so that a server (or this generator) which holds up the sending does not hide it.
 *
 * Usage: generator PLAN. Commands come on stdin, one line of JSON for each goes to stdout (see generator.py).
 */
#define _GNU_SOURCE
#include <sys/timerfd.h>

#include "common.h"
#include "links.h"
#include "messages.h"
#include "plan.h"

static int timer;

static void set_timer(uint64_t at) {
    struct itimerspec spec = {.it_value = {(time_t)(at / 1000000), (long)(at % 1000000) * 1000}};
    if (at == UINT64_MAX) spec.it_value.tv_sec = spec.it_value.tv_nsec = 0;
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void command(const char *line) {
    double rate, seconds, warm_up, drain;
    unsigned n;
    if (!strncmp(line, "open", 4)) opening_since = now_us(), open_more();
    else if (sscanf(line, "run %lf %lf %lf %lf", &rate, &seconds, &warm_up, &drain) == 4) begin_run(rate, seconds, warm_up, drain);
    else if (sscanf(line, "stall %u", &n) == 1 || !strncmp(line, "resume", 6)) {
        /* The last ones: publishers come first. */
        bool stall = line[0] == 's';
        for (uint32_t i = 0; i < link_count; i++) {
            bool wanted = stall && i >= link_count - n;
            if (links[i].state != OPEN || links[i].stalled == wanted) continue;
            links[i].stalled = wanted;
            watch(&links[i]);
        }
        say("{\"event\":\"stalled\",\"reading\":%u}", receivers());
    } else if (!strncmp(line, "state", 5)) {
        uint32_t open = 0;
        for (uint32_t i = 0; i < link_count; i++) open += links[i].state == OPEN;
        say("{\"event\":\"state\",\"open\":%u,\"lost_links\":%u,\"generator_cpu_s\":%.3f,\"note\":\"%s\"}", open, lost_links,
            cpu_seconds(), kept);
    }
}

static bool commands_arrived(void) {
    static char buffer[4096];
    static size_t held;
    ssize_t n = read(0, buffer + held, sizeof buffer - 1 - held);
    if (n <= 0) return false;
    held += (size_t)n;
    buffer[held] = 0;
    char *start = buffer;
    for (char *end; (end = strchr(start, '\n')); start = end + 1) {
        *end = 0;
        command(start);
    }
    held -= (size_t)(start - buffer);
    memmove(buffer, start, held);
    return true;
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: generator PLAN\n"), 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    read_plan(argv[1]);
    if (!(inbox = malloc(INBOX))) die("memory");
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    event.data.u32 = UINT32_MAX - 1;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event)) die("stdin");
    say("{\"event\":\"planned\",\"sockets\":%u}", link_count);
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(poller, events, 512, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            uint32_t index = events[i].data.u32;
            if (index == UINT32_MAX) {
                uint64_t expirations;
                if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timer");
            } else if (index == UINT32_MAX - 1) {
                if (!commands_arrived()) return 0;
            } else {
                struct link *l = &links[index];
                if (l->state != CLOSED && events[i].events & EPOLLOUT) writable(l);
                if (l->state != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(l);
            }
            /* Sending on time comes before receiving: a long run of ready sockets must not hold it up. */
            if (run.active && (i & 31) == 31) advance_run(now_us());
        }
        if (opening_since) open_more();
        uint64_t now = now_us(), next = run.active ? advance_run(now) : UINT64_MAX, pinged = send_pings(now);
        set_timer(next < pinged ? next : pinged);
    }
}
