/* SPDX-License-Identifier: Apache-2.0 */
/* startup.c - what firmware/startup.c is on a board; main.c is compiled with main named network_main. */
#include <unistd.h>

#include "port.h"

#undef main

int network_main(int argc, char **argv);

_Noreturn void board_reset(void) {
    (void)execl("/proc/self/exe", "program", (char *)0);
    _exit(1);
}

void port_forbid(const void *from, size_t bytes) {
    (void)from;
    (void)bytes;
}

void port_allow(const void *from, size_t bytes) {
    (void)from;
    (void)bytes;
}

int main(void) {
    char *words[8];
    int count = 0;
    for (char *at = port_command_line(); *at != '\0' && count < 7;) {
        words[count++] = at;
        while (*at != '\0' && *at != ' ') {
            at++;
        }
        while (*at == ' ') {
            *at++ = '\0';
        }
    }
    words[count] = (char *)0;
    port_exit(network_main(count, words));
}
