/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - runs a generated network on a file of inputs: one source for the host and for every board.
 *
 *     PROGRAM INPUTS OUTPUTS RESULTS [TAPS]
 *
 * INPUTS   any number of inputs, NN_INPUT_BYTES each; one is read at a time, straight into the arena, or row by row
 *          where the network is fed rows
 * OUTPUTS  as many outputs, NN_OUTPUT_BYTES each
 * RESULTS  text, '-' for what this build cannot tell:
 *              network arena A input I output O layers L
 *              run N status S guard G full F stack B instructions K touched T       (or cycles K)
                                                                      G = bytes changed outside the arena,
                                                                      F = 1 where the stack was used to its end,
                                                                      T = the arena up to its last changed byte
 *              layer N K                                          profile build: one a layer, N = L for the rest
 *              row N K                                            row build: what row N of the input sets off
 *              end N stack W                       N = number of runs, W = stack of the whole program, main included
 * TAPS     in a build with taps, what every layer has made; tap_rows.c and tap_crcs.c say how
 *
 * Before each run the arena is filled with noise: nothing may depend on what was there.
 */
#include "measure.h"
#include "network.h"
#include "port.h"
#include "taps.h"

#define EXIT_USAGE 2
#define GUARD_BYTES 64u
#define BLOCK_BYTES 32u /* what a memory protection unit can tell apart */
#define LINE_BYTES 128u
#define APART __attribute__((noinline)) /* its line of text is not on the stack while the network runs */

_Static_assert(GUARD_BYTES % NN_ARENA_ALIGN == 0, "the front guard would spoil the arena's alignment");

/* Behind the arena begins a block, if its alignment allows that: the MPU then catches the first byte too many. */
#define SLACK_BYTES ((BLOCK_BYTES - NN_ARENA_BYTES % BLOCK_BYTES) % BLOCK_BYTES / NN_ARENA_ALIGN * NN_ARENA_ALIGN)

static struct {
    _Alignas(GUARD_BYTES) uint8_t front[GUARD_BYTES + SLACK_BYTES];
    uint8_t arena[NN_ARENA_BYTES];
    uint8_t back[GUARD_BYTES + BLOCK_BYTES];
} memory;

static NN_ctx context;

typedef struct line {
    char text[LINE_BYTES];
    unsigned length;
} line;

static void add_text(line *to, const char *text) {
    while (*text != '\0' && to->length < LINE_BYTES) {
        to->text[to->length++] = *text++;
    }
}

static void add_number(line *to, const char *name, uint64_t value) {
    char digits[21];
    unsigned at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0);
    add_text(to, name);
    add_text(to, &digits[at]);
}

static void add_if_known(line *to, const char *name, bool known, uint64_t value) {
    if (known) {
        add_number(to, name, value);
    } else {
        add_text(to, name);
        add_text(to, "-");
    }
}

static int write_line(int file, line *text) {
    add_text(text, "\n");
    return port_write(file, text->text, text->length);
}

static uint8_t noise(uint32_t *state) {
    *state ^= *state << 13; /* xorshift32 (Marsaglia, "Xorshift RNGs", 2003) */
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (uint8_t)(*state >> 24);
}

static uint32_t seed(uint32_t run) { return (run + 1u) * 2654435761u | 1u; }

static void fill(uint8_t *to, uint32_t bytes, uint32_t *state) {
    for (uint32_t i = 0; i < bytes; i++) {
        to[i] = noise(state);
    }
}

typedef struct change {
    uint32_t bytes; /* how many are not what `fill` wrote; one written with its own noise does not show */
    uint32_t end;   /* one past the last of them */
} change;

static change find_change(const uint8_t *in, uint32_t bytes, uint32_t *state) {
    change found = {0, 0};
    for (uint32_t i = 0; i < bytes; i++) {
        if (in[i] != noise(state)) {
            found.bytes++;
            found.end = i + 1u;
        }
    }
    return found;
}

/* Noise in the guards and in the arena; from here to `find_changes` the guards are nobody's. */
static void make_noise(uint32_t run) {
    uint32_t state = seed(run);
    fill(memory.front, sizeof memory.front, &state);
    fill(memory.arena, sizeof memory.arena, &state);
    fill(memory.back, sizeof memory.back, &state);
    port_forbid(memory.front, sizeof memory.front);
    port_forbid(memory.back, sizeof memory.back);
}

typedef struct traces {
    uint32_t broken;  /* bytes changed outside the arena */
    uint32_t touched; /* the arena up to the last changed byte */
} traces;

static traces find_changes(uint32_t run) {
    uint32_t state = seed(run);
    port_allow(memory.front, sizeof memory.front);
    port_allow(memory.back, sizeof memory.back);
    const change front = find_change(memory.front, sizeof memory.front, &state);
    const change arena = find_change(memory.arena, sizeof memory.arena, &state);
    const change back = find_change(memory.back, sizeof memory.back, &state);
    return (traces){front.bytes + back.bytes, arena.end};
}

/* One result line, and in a profile build one a layer. 0, or -1 where the file cannot be written. */
APART static int write_result(int file, uint32_t run, int status, traces found, const measurement *taken) {
    line text = {.length = 0};
    add_number(&text, "run ", run);
    add_number(&text, " status ", (uint32_t)status);
    add_number(&text, " guard ", found.broken);
    add_number(&text, " full ", taken->stack_full ? 1u : 0u);
    add_if_known(&text, " stack ", taken->has_stack, taken->stack_bytes);
    add_if_known(&text, measure_unit, taken->has_instructions, taken->instructions);
    add_number(&text, " touched ", found.touched);
    int failed = write_line(file, &text);
    for (unsigned layer = 0; taken->has_layers && layer <= NN_LAYERS; layer++) {
        text.length = 0;
        add_number(&text, "layer ", layer);
        add_number(&text, " ", measure_layer(layer));
        failed |= write_line(file, &text);
    }
    for (unsigned row = 0; row < taken->rows; row++) {
        text.length = 0;
        add_number(&text, "row ", row);
        add_number(&text, " ", measure_row(row));
        failed |= write_line(file, &text);
    }
    return failed;
}

APART static int write_head(int file) {
    line text = {.length = 0};
    add_number(&text, "network arena ", NN_ARENA_BYTES);
    add_number(&text, " input ", NN_INPUT_BYTES);
    add_number(&text, " output ", NN_OUTPUT_BYTES);
    add_number(&text, " layers ", NN_LAYERS);
    return write_line(file, &text);
}

APART static int write_end(int file, uint32_t runs) {
    line text = {.length = 0};
    uint32_t stack_bytes = 0;
    const bool has_stack = measure_whole_stack(&stack_bytes);
    add_number(&text, "end ", runs);
    add_if_known(&text, " stack ", has_stack, stack_bytes);
    return write_line(file, &text);
}

static int fail(const char *why) {
    port_message("MBV2 ");
    port_message(why);
    port_message("\n");
    return EXIT_USAGE;
}

#if NN_FED
/* The one row of the input that this program holds; the network keeps those it needs in its arena. */
static struct {
    int8_t values[NN_ROW_BYTES];
    int file;
    bool is_full;
} waiting;

static size_t read_row(void) {
    const size_t got = port_read(waiting.file, waiting.values, NN_ROW_BYTES);
    waiting.is_full = got == NN_ROW_BYTES;
    return got;
}

int run_fed_network(NN_ctx *ctx) {
    for (;;) {
        const int status = NN_step(ctx);
        if (status != NN_MORE) {
            measure_row_end();
        }
        if (status == NN_HUNGRY) {
            if (!waiting.is_full && read_row() != NN_ROW_BYTES) {
                return status;
            }
            measure_row_start();
            waiting.is_full = NN_push_rows(ctx, waiting.values, 1) == 0;
        } else if (status != NN_MORE) {
            return status;
        }
    }
}

static size_t read_input(int input_file) {
    waiting.file = input_file;
    return read_row() == NN_ROW_BYTES ? NN_INPUT_BYTES : 0;
}
#else
static size_t read_input(int input_file) { return port_read(input_file, NN_input(&context), NN_INPUT_BYTES); }
#endif

/* One input through the network. 1 = done, 0 = no input left, -1 = the file ends within an input. */
static int infer(int input_file, uint32_t run, int *status, measurement *taken) {
    make_noise(run);
    const size_t got = read_input(input_file);
    if (got != NN_INPUT_BYTES) {
        return got == 0 ? 0 : -1;
    }
    *status = measure_inference(&context, taken);
    return 1;
}

/* All inputs. NULL where everything went well, else what did not. */
static const char *infer_all(int input_file, int output_file, int result_file, uint32_t *runs) {
    measurement taken;
    int status = 0;
    for (*runs = 0;; ++*runs) {
        const int got = infer(input_file, *runs, &status, &taken);
        if (got <= 0) {
            return got == 0 ? NULL : "the input file ends within an input";
        }
        const traces found = find_changes(*runs);
        if (taps_end(*runs) != 0) {
            return "the tap file cannot be written";
        }
        if (port_write(output_file, NN_output(&context), NN_OUTPUT_BYTES) != 0 ||
            write_result(result_file, *runs, status, found, &taken) != 0) {
            return "the result files cannot be written";
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 4) {
        return fail("usage: PROGRAM INPUTS OUTPUTS RESULTS [TAPS]");
    }
    measure_start();
    const int input_file = port_open_to_read(argv[1]);
    const int output_file = port_open_to_write(argv[2]);
    const int result_file = port_open_to_write(argv[3]);
    if (input_file < 0 || output_file < 0 || result_file < 0) {
        return fail("a file cannot be opened");
    }
    if (taps_open(argc, argv) != 0) {
        return fail("the tap file cannot be opened");
    }
    if (NN_init(&context, memory.arena, sizeof memory.arena) != 0) {
        return fail("the network refuses its arena");
    }
    uint32_t runs = 0;
    const char *wrong = write_head(result_file) != 0 ? "the result files cannot be written"
                                                     : infer_all(input_file, output_file, result_file, &runs);
    if (wrong != NULL) {
        return fail(wrong);
    }
    int failed = write_end(result_file, runs);
    failed |= port_close(input_file) | port_close(output_file) | port_close(result_file) | taps_close();
    return failed != 0 ? fail("a file cannot be closed") : 0;
}
