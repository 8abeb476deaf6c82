/* What congestion.c has for those who feed it. */
#ifndef HEADRACE_CONGESTION_H
#define HEADRACE_CONGESTION_H

#include "departures.h"

struct congestion;

/* What Python reads. */
struct estimate {
    double bitrate, acknowledged, loss;
    int64_t acknowledged_bytes, highest;
    int32_t signal, feedbacks, refused, decreases;
};

struct congestion *congestion_new(void);
void congestion_free(struct congestion *state);
int congestion_feed(struct congestion *state, const struct departures *sent, const uint8_t *packet, int size,
                    int64_t now_us);
void congestion_estimate(const struct congestion *state, struct estimate *out);

#endif
