/* What congestion.c has for those who feed it. */
#ifndef HEADRACE_CONGESTION_H
#define HEADRACE_CONGESTION_H

#include "departures.h"

struct congestion;

struct congestion *congestion_new(void);
void congestion_free(struct congestion *state);
double congestion_feed(struct congestion *state, const struct departures *sent, const uint8_t *packet, int size,
                       int64_t now_us);
/* Whether the estimate is to be told now; then it counts as told. See congestion/telling.py. */
int congestion_due(struct congestion *state, int64_t now_us);

#endif
