/* The plan: lines of words, as plan.py writes them. */
#ifndef PLAN_H
#define PLAN_H

#include "links.h"
#include "messages.h"

static void plan_line(char *line) {
    char *words[8] = {0}, *save = NULL;
    int n = 0;
    for (char *w = strtok_r(line, " \n", &save); w && n < 8; w = strtok_r(NULL, " \n", &save)) words[n++] = w;
    if (!n) return;
    if (!strcmp(words[0], "address")) {
        address.sin_family = AF_INET;
        inet_pton(AF_INET, words[1], &address.sin_addr);
        address.sin_port = htons((uint16_t)atoi(words[2]));
    } else if (!strcmp(words[0], "marker")) marker = from_hex(words[1]);
    else if (!strcmp(words[0], "small-buffers")) small_links = (uint32_t)atol(words[1]);
    else if (!strcmp(words[0], "publishers")) publishers = (uint32_t)atol(words[1]);
    else if (!strcmp(words[0], "kind") && kind_count < KINDS_MAX) {
        struct kind *k = &kinds[kind_count++];
        snprintf(k->name, sizeof k->name, "%s", words[1]);
        const char *names[] = {"count", "ready", "keep", "answer"};
        for (int i = 0; i < 4; i++)
            if (!strcmp(words[2], names[i])) k->action = (enum action)i;
        k->offset = (size_t)atol(words[3]);
        k->needle = from_hex(words[4]);
        if (k->action == ANSWER) k->reply_opcode = atoi(words[5]), k->reply = from_hex(words[6]);
    } else if (!strcmp(words[0], "message")) {
        message_opcode = atoi(words[1]), id_offset = atol(words[2]), stamp_offset = atol(words[3]);
        message = from_hex(words[4]);
    } else if (!strcmp(words[0], "id-base")) id_base = strtoull(words[1], NULL, 10);
    else if (!strcmp(words[0], "ping")) {
        ping_interval = strtoull(words[1], NULL, 10) * 1000;
        ping_opcode = atoi(words[2]);
        ping = from_hex(words[3]);
    } else if (!strcmp(words[0], "socket")) {
        if (link_count == link_room) {
            link_room = link_room ? link_room * 2 : 1024;
            if (!(links = realloc(links, link_room * sizeof *links))) die("memory");
        }
        struct link *l = &links[link_count++];
        *l = (struct link){.fd = -1, .mask = link_count * 2654435761u};
        l->request = from_hex(words[1]);
        l->opcode = atoi(words[2]);
        l->first = from_hex(words[3]);
    }
}

static void read_plan(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) plan_line(line);
    free(line);
    fclose(file);
}

#endif
