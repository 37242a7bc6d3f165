/* SPDX-License-Identifier: Apache-2.0 */
/* port_serial.c - a board at the end of a serial line, whose files are on the machine at the other end. 8N1,
 * CONSOLE_BAUD.
 *
 * A frame is COBS (Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1999) of
 *
 *     kind (1), number (1), payload (at most 240), CRC-32 of these (4, little-endian)
 *
 * and a byte 0. The machine begins a session with SESSION, again and again, until the board answers:
 *
 *     SESSION  the command line, its first word at random      HELLO    the SESSION's CRC, "NAME COMPILE BOARD BUILD"
 *
 * From then on the board asks, counting its questions, and the machine answers with the question's number:
 *
 *     READ     file, bytes (2, little-endian)                  ANSWER   so many bytes or fewer; none: the file's end
 *     WRITE    file, bytes                                     ANSWER
 *     END      exit code                                       ANSWER
 *
 * What does not arrive in time is asked again; the machine answers a number that it has answered as it did then, and does
 * nothing twice. A file is the first letter of its name, 'm' what is said to people. Another SESSION, at any time, resets
 * the board, as does the end; so a machine that went away leaves nothing behind.
 */
#include <stdint.h>

#include "board.h"
#include "crc32.h"
#include "network.h"
#include "port.h"
#include CONSOLE_DRIVER

enum { SESSION = 'S', HELLO = 'H', READ = 'R', WRITE = 'W', END = 'E', ANSWER = 'A' };

#define MESSAGES 'm'
#define PAYLOAD_BYTES 240u /* then no frame needs a second block of COBS */
#define HEAD_BYTES 2u
#define CRC_BYTES 4u
#define PATIENCE (BOARD_CLOCK_HZ / 16u) /* readings of the line without a byte; about a second */

#ifdef MBV2_TAP
#define BUILD "taps"
#elif defined(MBV2_PROFILE)
#define BUILD "profile"
#else
#define BUILD "plain"
#endif

/* bytes[0] is COBS's own. */
typedef struct frame {
    uint8_t bytes[1u + HEAD_BYTES + PAYLOAD_BYTES + CRC_BYTES];
    unsigned length; /* of kind, number and payload */
    uint32_t crc;    /* of these, in `heard` */
} frame;

static frame question; /* a WRITE that still grows, where its length is not 0 */
static frame heard;
static uint32_t session; /* its SESSION's CRC */
static uint8_t number;   /* of the question */

static void begin(frame *to, uint8_t kind) {
    to->bytes[1] = kind;
    to->bytes[2] = number;
    to->length = HEAD_BYTES;
}

static unsigned room(const frame *in) { return HEAD_BYTES + PAYLOAD_BYTES - in->length; }

static void append(frame *to, uint8_t byte) { to->bytes[1u + to->length++] = byte; }

/* Puts the CRC behind it, and for each 0 the way to the next one: at most 1 + 246 bytes, so that it fits a byte. */
static unsigned encode(frame *to) {
    const uint32_t crc = ~crc32_add(CRC32_START, &to->bytes[1], to->length);
    for (unsigned i = 0; i < CRC_BYTES; i++) {
        to->bytes[1u + to->length + i] = (uint8_t)(crc >> 8u * i);
    }
    const unsigned end = 1u + to->length + CRC_BYTES;
    unsigned next = end;
    for (unsigned i = end - 1u; i > 0; i--) {
        if (to->bytes[i] == 0) {
            to->bytes[i] = (uint8_t)(next - i);
            next = i;
        }
    }
    to->bytes[0] = (uint8_t)next;
    return end;
}

/* Whether the `end` bytes, none of them 0, are a frame. */
static int decode(frame *in, unsigned end) {
    unsigned at = 0;
    while (at < end) {
        const unsigned step = in->bytes[at];
        in->bytes[at] = 0;
        at += step;
    }
    if (at != end || end < 1u + HEAD_BYTES + CRC_BYTES) {
        return 0;
    }
    in->length = end - 1u - CRC_BYTES;
    in->crc = ~crc32_add(CRC32_START, &in->bytes[1], in->length);
    uint32_t said = 0;
    for (unsigned i = 0; i < CRC_BYTES; i++) {
        said |= (uint32_t)in->bytes[1u + in->length + i] << 8u * i;
    }
    return in->crc == said;
}

/* The next frame that arrives whole is in `heard`; 0 where the line falls silent first. */
static int listen(void) {
    unsigned length = 0;
    for (uint32_t silence = 0; silence < PATIENCE; silence++) {
        const int byte = uart_get();
        if (byte > 0) {
            if (length < sizeof heard.bytes) {
                heard.bytes[length] = (uint8_t)byte;
            }
            length += length <= sizeof heard.bytes ? 1u : 0u; /* a frame that is too long is none */
            silence = 0;
        } else if (byte == 0) {
            if (length <= sizeof heard.bytes && decode(&heard, length)) {
                return 1;
            }
            length = 0;
        }
    }
    return 0;
}

static void send(const frame *encoded, unsigned length) {
    for (unsigned i = 0; i < length; i++) {
        uart_put((char)encoded->bytes[i]);
    }
    uart_put('\0');
}

/* Answers a SESSION, in whose place. */
static void greet(void) {
    begin(&heard, HELLO);
    for (unsigned i = 0; i < 4; i++) {
        append(&heard, (uint8_t)(session >> 8u * i));
    }
    for (const char *text = NN_NAME " " NN_COMPILE " " BOARD_NAME " " BUILD; *text != '\0' && room(&heard) != 0;) {
        append(&heard, (uint8_t)*text++);
    }
    send(&heard, encode(&heard));
}

/* Whether the question's answer arrives before the line falls silent. */
static int is_answered(void) {
    while (listen()) {
        if (heard.bytes[1] == SESSION) {
            if (heard.crc != session) {
                board_reset();
            }
            greet(); /* the first HELLO was lost */
        } else if (heard.bytes[1] == ANSWER && heard.bytes[2] == number) {
            return 1;
        }
    }
    return 0;
}

static void ask(void) {
    const unsigned length = encode(&question);
    do {
        send(&question, length);
    } while (!is_answered());
    number++;
    question.length = 0;
}

static void flush(void) {
    if (question.length != 0) {
        ask();
    }
}

char *port_command_line(void) {
    static char line[96];
    uart_start();
    do {
        while (!listen()) {
        }
    } while (heard.bytes[1] != SESSION || heard.length - HEAD_BYTES >= sizeof line);
    session = heard.crc;
    for (unsigned i = 0; i < heard.length - HEAD_BYTES; i++) {
        line[i] = (char)heard.bytes[1u + HEAD_BYTES + i];
    }
    greet();
    return line;
}

int port_open_to_read(const char *name) { return name[0]; }

int port_open_to_write(const char *name) { return name[0]; }

static unsigned read_some(int file, uint8_t *to, size_t bytes) {
    const unsigned wanted = bytes < PAYLOAD_BYTES ? (unsigned)bytes : PAYLOAD_BYTES;
    begin(&question, READ);
    append(&question, (uint8_t)file);
    append(&question, (uint8_t)wanted);
    append(&question, (uint8_t)(wanted >> 8));
    ask();
    const unsigned got = heard.length - HEAD_BYTES < wanted ? heard.length - HEAD_BYTES : wanted;
    for (unsigned i = 0; i < got; i++) {
        to[i] = heard.bytes[1u + HEAD_BYTES + i];
    }
    return got;
}

size_t port_read(int file, void *to, size_t bytes) {
    size_t got = 0;
    unsigned some = 1;
    flush();
    while (some != 0 && got < bytes) {
        some = read_some(file, (uint8_t *)to + got, bytes - got);
        got += some;
    }
    return got;
}

/* Writes to one file are gathered while they fit a frame. */
int port_write(int file, const void *from, size_t bytes) {
    const uint8_t *at = from;
    if (question.bytes[1u + HEAD_BYTES] != (uint8_t)file) {
        flush();
    }
    for (size_t i = 0; i < bytes; i++) {
        if (question.length == 0) {
            begin(&question, WRITE);
            append(&question, (uint8_t)file);
        }
        append(&question, at[i]);
        if (room(&question) == 0) {
            flush();
        }
    }
    return 0;
}

int port_close(int file) {
    (void)file;
    flush();
    return 0;
}

void port_message(const char *text) {
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
    }
    (void)port_write(MESSAGES, text, length);
}

_Noreturn void port_exit(int code) {
    flush();
    begin(&question, END);
    append(&question, (uint8_t)code);
    ask();
    board_reset();
}
