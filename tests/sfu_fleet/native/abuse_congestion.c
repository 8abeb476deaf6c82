/* Feeds the estimator with feedback made at random, under the sanitizers of the compiler, while another thread numbers
 * packets in the same log.
 *
 * Usage: abuse_congestion SEED ITERATIONS. The last line says what was done.
 */
#include "congestion.c"

#include <pthread.h>
#include <stdio.h>

static uint64_t state;

static uint32_t draw(uint32_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(state >> 33) % below;
}

static struct departures log_;
static int stopping;

/* As the plane's thread does. */
static void *send_packets(void *argument) {
    (void)argument;
    for (int64_t now = 1; !__atomic_load_n(&stopping, __ATOMIC_RELAXED); now += 50) {
        departures_add(&log_, now, (unsigned)(now % 2100));
        if (now % 7 == 0) departures_probed(&log_);
    }
    return NULL;
}

/* Chunks and deltas that mostly fit each other. */
static int make(uint8_t *packet, int64_t now) {
    int count = 1 + (int)draw(draw(40) ? 60 : 2100), known = 0, at = HEAD, deltas = 0;
    while (known < count && at < 1400) {
        int chunk = (int)draw(0x10000);
        if (draw(3) == 0) chunk = (int)(draw(3) << 13 | draw(draw(9) ? 20 : 0x1FFF));
        packet[at++] = (uint8_t)(chunk >> 8);
        packet[at++] = (uint8_t)chunk;
        if (!(chunk & 0x8000)) {
            known += chunk & 0x1FFF;
            deltas += (chunk >> 13 & 3) * (chunk & 0x1FFF);
        } else {
            known += chunk & 0x4000 ? 7 : 14;
            for (int i = 0; i < 14; i++) deltas += chunk & 0x4000 ? i < 7 ? chunk >> (12 - 2 * i) & 3 : 0 : chunk >> i & 1;
        }
    }
    if (draw(4) == 0) deltas += (int)draw(8) - 4;
    for (; deltas > 0 && at < 2000; deltas--) packet[at++] = (uint8_t)draw(256);
    while (at % 4) packet[at++] = (uint8_t)(draw(9) ? 0 : draw(256));
    int base = (int)(now / 50) - (int)draw(100);
    packet[0] = (uint8_t)(draw(50) ? 0x8F | (draw(4) ? 0 : 0x20) : draw(256));
    packet[1] = (uint8_t)(draw(50) ? 205 : draw(256));
    packet[12] = (uint8_t)(base >> 8);
    packet[13] = (uint8_t)base;
    packet[14] = (uint8_t)(count >> 8);
    packet[15] = (uint8_t)count;
    for (int i = 16; i < HEAD; i++) packet[i] = (uint8_t)(draw(4) ? 0 : draw(256));
    int length = at / 4 - 1 + (draw(30) ? 0 : (int)draw(5) - 2);
    packet[2] = (uint8_t)(length >> 8);
    packet[3] = (uint8_t)length;
    return at;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    state = strtoull(argv[1], NULL, 10);
    long iterations = strtol(argv[2], NULL, 10);
    struct congestion *congestion = congestion_new();
    pthread_t thread;
    log_.next = SENT_LOG;
    if (!congestion || pthread_create(&thread, NULL, send_packets, NULL)) return 1;
    struct estimate estimate;
    for (long i = 0; i < iterations; i++) {
        uint8_t made[2100];
        int64_t next = log_next(&log_);
        int size = make(made, next * 50);
        if (draw(60) == 0) size = (int)draw((uint32_t)size + 1);
        /* In memory of its own, so that a step too far is seen. */
        uint8_t *packet = malloc((size_t)size + !size);
        if (!packet) return 1;
        memcpy(packet, made, (size_t)size);
        congestion_feed(congestion, &log_, packet, size, next * 50);
        free(packet);
        if (draw(20) == 0) congestion_probed(congestion, &log_, next - draw(3000), next - draw(100), next * 50);
        if (draw(50) == 0) congestion_raise_to(congestion, draw(1u << 30));
        if (draw(50) == 0) congestion_note_rtt(congestion, draw(1000));
        congestion_estimate(congestion, &estimate);
        if (!(estimate.bitrate >= RATE_MIN && estimate.bitrate <= RATE_MAX)) return 3;
        if (!(estimate.loss >= 0.0 && estimate.loss <= 1.0)) return 4;
        if (draw(5000) == 0) {
            congestion_free(congestion);
            if (!(congestion = congestion_new())) return 1;
        }
    }
    __atomic_store_n(&stopping, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    congestion_free(congestion);
    printf("%ld calls, %d of the last were taken and %d refused\n", iterations, estimate.feedbacks, estimate.refused);
    return 0;
}
