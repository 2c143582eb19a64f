/* SPDX-License-Identifier: MIT */
/* Text on the screen: a shadow of the characters, so that nothing is ever read back from slow device memory. */
#include "debug/internal.h"

#define MAX_COLS 200
#define MAX_ROWS 100
#define JUMP_ROWS 4                 /* scroll by several lines: a framebuffer redraw is expensive */

static const struct screen *scr;
static bool enabled;
static char shadow[MAX_ROWS][MAX_COLS];
static unsigned cols, rows, col, row;

static void put(unsigned r, unsigned c, char ch)
{
    if (shadow[r][c] == ch)
        return;
    shadow[r][c] = ch;
    scr->draw(c, r, ch);
}

static void scroll(void)
{
    unsigned jump = rows > 2 * JUMP_ROWS ? JUMP_ROWS : 1;
    for (unsigned r = 0; r < rows; r++)
        for (unsigned c = 0; c < cols; c++)
            put(r, c, r + jump < rows ? shadow[r + jump][c] : ' ');
    row -= jump;
}

static void newline(void)
{
    col = 0;
    if (++row >= rows)
        scroll();
}

void screen_write(const char *s, size_t n)
{
    if (!scr || !enabled)
        return;
    for (; n; n--, s++) {
        if (*s == '\n') {
            newline();
        } else if (*s == '\r') {
            col = 0;
        } else if (*s == '\t') {
            col = MIN((col + 8) & ~7u, cols - 1);
        } else if ((u8)*s >= 0x20) {
            if (col >= cols)
                newline();
            put(row, col++, (u8)*s < 0x7f ? *s : '?');
        }
    }
}

void screen_enable(bool on)
{
    if (on && !enabled && scr) {    /* somebody else drew here: start over on a clean screen */
        memset(shadow, 0, sizeof(shadow));
        for (unsigned r = 0; r < rows; r++)
            for (unsigned c = 0; c < cols; c++)
                put(r, c, ' ');
        row = col = 0;
    }
    enabled = on;
}

void screen_start(void)
{
    scr = fb_screen();
    if (!scr)
        scr = vga_screen();
    if (!scr)
        return;
    cols = MIN(scr->cols, (unsigned)MAX_COLS);
    rows = MIN(scr->rows, (unsigned)MAX_ROWS);
    screen_enable(true);
    conring_replay(screen_write);
}
