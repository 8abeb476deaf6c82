/* What every part needs: bytes that grow, time, hexadecimal digits, lines of JSON on stdout. */
#ifndef COMMON_H
#define COMMON_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct bytes {
    uint8_t *data;
    size_t length, room;
};

static void die(const char *what) {
    fprintf(stderr, "generator: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static void append(struct bytes *to, const void *data, size_t length) {
    if (to->length + length > to->room) {
        to->room = (to->length + length) * 2;
        if (!(to->data = realloc(to->data, to->room))) die("memory");
    }
    if (length) memcpy(to->data + to->length, data, length);
    to->length += length;
}

static void hex(uint8_t *to, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value >>= 4) to[i] = (uint8_t)"0123456789abcdef"[value & 15];
}

static uint64_t unhex(const uint8_t *from, int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) value = value << 4 | (uint64_t)((from[i] & 15) + (from[i] > '9' ? 9 : 0));
    return value;
}

static struct bytes from_hex(const char *text) {
    struct bytes b = {0};
    for (; text[0] && text[1] && text[0] != '-'; text += 2) {
        uint8_t byte = (uint8_t)unhex((const uint8_t *)text, 2);
        append(&b, &byte, 1);
    }
    return b;
}

#endif
