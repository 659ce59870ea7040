/* ids.c - what names and numbers from outside may look like (protocol section 1); see
 * gateway_private.h. Pure. */
#include "gateway/gateway_private.h"

#include "base/utf.h"

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool made_of(struct bytes id, size_t n_max, const char *also)
{
    if (id.n == 0 || id.n > n_max)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (!is_alnum(id.p[i]) && (id.p[i] == 0 || !strchr(also, id.p[i])))
            return false;
    return true;
}

bool id_is_doc(struct bytes id)
{
    return made_of(id, LIMIT_DOC_ID_BYTES, "_.~-");
}

bool id_is_client(struct bytes id)
{
    return made_of(id, LIMIT_CLIENT_ID_BYTES, "_.:-");
}

bool id_is_principal(struct bytes id)
{
    struct bytes group = BYTES_LIT("group:");
    if (!utf8_check_text(id))
        return false;
    if (id.n >= group.n && memcmp(id.p, group.p, group.n) == 0)
        return id.n > group.n && id.n - group.n <= LIMIT_GROUP_BYTES;
    return id.n > 0 && id.n <= LIMIT_USER_ID_BYTES;
}

bool id_whole(struct bytes text, uint64_t *v)
{
    uint64_t sum = 0;
    if (text.n == 0 || text.n > 16)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        sum = 10 * sum + (text.p[i] - '0');
    }
    if (sum > (1ull << 53) - 1)
        return false;
    *v = sum;
    return true;
}

bool id_hash(struct bytes text, uint64_t *hash)
{
    uint64_t v = 0;
    if (text.n != 16)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        uint8_t lower = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v << 4 | (uint64_t)(lower - 'a' + 10);
        else
            return false;
    }
    *hash = v;
    return true;
}
