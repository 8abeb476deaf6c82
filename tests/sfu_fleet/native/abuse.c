/* Calls the plane's functions in random orders with random arguments, under the sanitizers of the compiler.
 *
 * Usage: abuse SEED ITERATIONS. The last line says what was done.
 */
#include "plane.c"

#include <stdio.h>

enum { SINKS = 4, LANES = 3, VIEWERS = 40 };

static uint64_t state;

static uint32_t draw(uint32_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(state >> 33) % below;
}

/* As long as libsrtp's, and now and then a refusal. */
static int protect(void *context, void *packet, int *length) {
    uint32_t *calls = context;
    if (++*calls % 97 == 0) return 9;
    memset((uint8_t *)packet + *length, 0xAB, 16);
    *length += 16;
    return 0;
}

struct known {
    struct viewer *viewer;
    struct counters *counters;
    uint32_t *context;
    int lane;
};

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    state = strtoull(argv[1], NULL, 10);
    long iterations = strtol(argv[2], NULL, 10);
    struct sockaddr_in sinks[SINKS];
    int sockets[SINKS];
    for (int i = 0; i < SINKS; i++) {
        sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
        sinks[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof sinks[i];
        if (bind(sockets[i], (struct sockaddr *)&sinks[i], size) || getsockname(sockets[i], (void *)&sinks[i], &size))
            return 1;
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int other = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    struct plane *plane = plane_open(fd, draw(2) ? 0 : 1000000, (int)draw(2), (int)draw(2));
    if (!plane) return 1;

    struct lane *lanes[LANES] = {0};
    int64_t sequences[LANES] = {0};
    struct known viewers[VIEWERS] = {0};
    static struct departures departures[2];
    departures[0].next = departures[1].next = SENT_LOG;
    struct counters *spent[1 << 16];
    uint32_t *contexts[1 << 16];
    int gone = 0;
    uint8_t body[MAX_PACKET + 8];
    memset(body, 0x5A, sizeof body);
    uint16_t numbers[64];
    for (long i = 0; i < iterations; i++) {
        int l = (int)draw(LANES), v = (int)draw(VIEWERS);
        struct known *known = &viewers[v];
        if (!lanes[l]) {
            lanes[l] = plane_lane();
            sequences[l] = draw(70000);
        }
        switch (draw(17)) {
            case 0:
                if (known->viewer || gone >= (1 << 16) - 1) break;
                known->counters = calloc(1, sizeof *known->counters);
                known->context = calloc(1, sizeof *known->context);
                known->lane = l;
                known->viewer = plane_attach(plane, lanes[l], known->context, (void *)protect, sizeof(uint32_t), draw(2) ? fd : other, &sinks[draw(SINKS)], sizeof *sinks,
                                             draw(1000), draw(2) ? -1 : sequences[l], draw(65536), draw(1000),
                                             (uint16_t)draw(40000), (uint16_t)draw(300), (uint8_t)(draw(2) * draw(256)),
                                             draw(1000), draw(2) ? -1 : sequences[l] - draw(5000) + 900, draw(1u << 30), draw(1u << 30),
                                             draw(2) * draw(10), known->counters, draw(3) ? &departures[draw(2)] : NULL);
                break;
            case 1:
                if (!known->viewer) break;
                plane_detach(plane, known->viewer);
                spent[gone] = known->counters;
                contexts[gone++] = known->context;
                known->viewer = NULL;
                break;
            case 5:
                if (known->viewer) plane_begin(plane, known->viewer, sequences[known->lane], draw(65536));
                break;
            case 2:
                if (known->viewer) plane_move(plane, known->viewer, draw(2) ? fd : other, &sinks[draw(SINKS)], sizeof *sinks);
                plane_move(plane, known->viewer, fd, &sinks[0], draw(2) ? -1 : 4096);
                break;
            case 3:
                if (!known->viewer) break;
                for (int n = 0; n < 64; n++) numbers[n] = (uint16_t)draw(65536);
                plane_resend(plane, known->viewer, numbers, (int)draw(70) - 3 > 64 ? 64 : (int)draw(64));
                break;
            case 6:
                if (known->viewer) plane_probe(plane, known->viewer, (int)draw(9000) - 100);
                break;
            case 4: {
                if (draw(50)) break;
                /* As Python does: a lane goes when its last viewer has. */
                for (int n = 0; n < VIEWERS; n++) {
                    if (!viewers[n].viewer || viewers[n].lane != l || gone >= (1 << 16) - 1) continue;
                    plane_detach(plane, viewers[n].viewer);
                    spent[gone] = viewers[n].counters;
                    contexts[gone++] = viewers[n].context;
                    viewers[n].viewer = NULL;
                }
                plane_discard(plane, lanes[l]);
                lanes[l] = NULL;
                break;
            }
            default: {
                int size = draw(20) ? (int)draw(5) * 300 + 12 : (int)draw(MAX_PACKET + 8);
                int64_t sequence = draw(30) ? ++sequences[l] : sequences[l] - draw(1200);
                if (!draw(9)) {
                    plane_store(plane, lanes[l], body, size, (size - 12) / 2, sequences[l] - draw(5000), draw(1u << 30), 0, 0, 0,
                                draw(3) ? (int)draw(40) - 2 : 0);
                    break;
                }
                plane_forward(plane, lanes[l], body, size, draw(9) ? (size - 12) / 2 : (int)draw(2100) - 5, sequence, draw(1u << 30), (int)draw(30) - 2,
                              (int)draw(2), (int)draw(2100) - 2, draw(3) ? (int)draw(40) - 2 : 0,
                              draw(4) ? sequence - draw(3000) : sequence, draw(5) == 0);
            }
        }
    }
    for (int n = 0; n < VIEWERS; n++)
        if (viewers[n].viewer && draw(2)) plane_detach(plane, viewers[n].viewer);
    for (int l = 0; l < LANES; l++)
        if (lanes[l]) plane_discard(plane, lanes[l]);
    struct totals totals;
    plane_totals(plane, &totals);
    plane_close(plane);
    for (int n = 0; n < gone; n++) {
        free(spent[n]);
        free(contexts[n]);
    }
    for (int n = 0; n < VIEWERS; n++) {
        if (viewers[n].counters && viewers[n].viewer) {
            free(viewers[n].counters);
            free(viewers[n].context);
        }
    }
    close(fd);
    close(other);
    for (int i = 0; i < SINKS; i++) close(sockets[i]);
    printf("%ld calls, %llu packets out, %llu refused by encryption\n", iterations,
           (unsigned long long)totals.packets_out, (unsigned long long)totals.protect_failures);
    return 0;
}
