/* cursor.h: what is written is read again, and nothing else is. */
#include "gateway/cursor.h"
#include "gateway/base64.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct bytes written(char *text, enum cursor_kind kind, uint64_t number, const char *name)
{
    struct writer w = writer_of(text, CURSOR_TEXT_BYTES_MAX);
    cursor_write(&w, kind, &(struct cursor){.number = number, .name = bytes_str(name)});
    cr_assert(w.ok);
    return writer_bytes(&w);
}

Test(cursor, base64url_is_that_of_rfc_4648)
{
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},      {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"\xfb\xff", "-_8"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[32];
        uint8_t back[32];
        struct writer w = writer_of(text, sizeof text);
        base64_write(&w, bytes_str(pairs[i][0]));
        cr_assert(bytes_eq(writer_bytes(&w), bytes_str(pairs[i][1])), "%s", pairs[i][1]);
        struct bytes read;
        w = writer_of(back, sizeof back);
        cr_assert(base64_read(bytes_str(pairs[i][1]), &w, &read));
        cr_assert(bytes_eq(read, bytes_str(pairs[i][0])));
    }
}

Test(cursor, a_second_spelling_of_the_same_bytes_is_refused)
{
    uint8_t back[32];
    static const char *const wrong[] = {"Zh", "Zm9", "Z", "Zg==", "Zm 9", "+_8", "Zm9vY"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct writer w = writer_of(back, sizeof back);
        struct bytes read;
        cr_assert_not(base64_read(bytes_str(wrong[i]), &w, &read), "%s", wrong[i]);
        cr_assert_eq(writer_n(&w), 0);
    }
}

Test(cursor, what_does_not_fit_is_refused)
{
    uint8_t back[5];
    struct writer small = writer_of(back, sizeof back);
    struct bytes read;
    cr_assert_not(base64_read(BYTES_LIT("Zm9vYmFy"), &small, &read));
    char text[CURSOR_TEXT_BYTES_MAX];
    char name[CURSOR_NAME_BYTES_MAX + 2];
    memset(name, 'x', sizeof name);
    name[CURSOR_NAME_BYTES_MAX + 1] = 0;
    struct writer w = writer_of(text, sizeof text);
    cursor_write(&w, CURSOR_DOCS, &(struct cursor){.name = bytes_str(name)});
    cr_assert_not(w.ok);
}

Test(cursor, the_longest_name_comes_back)
{
    char text[CURSOR_TEXT_BYTES_MAX];
    uint8_t buf[CURSOR_TEXT_BYTES_MAX];
    char name[CURSOR_NAME_BYTES_MAX + 1];
    struct cursor c;
    memset(name, 'x', sizeof name);
    name[CURSOR_NAME_BYTES_MAX] = 0;
    struct bytes b = written(text, CURSOR_DOCS, UINT64_MAX, name);
    cr_assert(cursor_read(b, CURSOR_DOCS, buf, &c));
    cr_assert_eq(c.number, UINT64_MAX);
    cr_assert(bytes_eq(c.name, bytes_str(name)));
}

Test(cursor, a_cursor_of_another_list_is_refused)
{
    char text[CURSOR_TEXT_BYTES_MAX];
    uint8_t buf[CURSOR_TEXT_BYTES_MAX];
    struct cursor c;
    struct bytes b = written(text, CURSOR_HISTORY, 17, "");
    cr_assert(cursor_read(b, CURSOR_HISTORY, buf, &c));
    cr_assert_eq(c.number, 17);
    cr_assert_not(cursor_read(b, CURSOR_DOCS, buf, &c));
    cr_assert_not(cursor_read(bytes_of(b.p, b.n - 4), CURSOR_HISTORY, buf, &c));
    cr_assert_not(cursor_read(BYTES_LIT(""), CURSOR_HISTORY, buf, &c));
}

Test(cursor, random_text_never_reads_out_of_bounds)
{
    uint8_t buf[CURSOR_TEXT_BYTES_MAX];
    char text[400];
    struct cursor c;
    srand(3);
    for (unsigned i = 0; i < 20000; i++) {
        size_t n = (size_t)rand() % sizeof text;
        for (size_t k = 0; k < n; k++)
            text[k] = "ABCDZdhr0_-"[rand() % 11];
        if (cursor_read(bytes_of(text, n), CURSOR_DOCS, buf, &c))
            cr_assert_leq(c.name.n, CURSOR_NAME_BYTES_MAX);
    }
}
