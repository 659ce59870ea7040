/* link.c - see link.h. */
#include "net/link.h"

#include <sys/mman.h>

enum status link_open(struct link *l, uint64_t a_to_b, uint64_t b_to_a, struct parker *a_parker,
                      struct parker *b_parker)
{
    size_t bytes = ring_bytes(a_to_b) + ring_bytes(b_to_a);
    /* Untouched pages cost nothing; shared, so that the other end may be another process. */
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED)
        return STATUS_NO_MEMORY;
    uint8_t *there = mem;
    uint8_t *back = there + ring_bytes(a_to_b);
    struct link made = {.mem = mem, .mem_bytes = bytes};
    enum status s = ring_format(there, a_to_b);
    if (s == STATUS_OK)
        s = ring_format(back, b_to_a);
    if (s == STATUS_OK)
        s = ring_tx_open(&made.a.tx, there);
    if (s == STATUS_OK)
        s = ring_rx_open(&made.b.rx, there);
    if (s == STATUS_OK)
        s = ring_tx_open(&made.b.tx, back);
    if (s == STATUS_OK)
        s = ring_rx_open(&made.a.rx, back);
    if (s != STATUS_OK) {
        munmap(mem, bytes);
        return s;
    }
    made.a.peer = b_parker;
    made.b.peer = a_parker;
    *l = made;
    return STATUS_OK;
}

void link_close(struct link *l)
{
    if (l->mem)
        munmap(l->mem, l->mem_bytes);
    *l = (struct link){0};
}

void link_wake(struct link_end *e)
{
    if (e->peer)
        parker_wake(e->peer);
}

void link_flush(struct link_end *e)
{
    if (ring_publish(&e->tx, ring_mark(&e->tx)))
        link_wake(e);
}

void link_release(struct link_end *e)
{
    if (ring_release(&e->rx) && ring_is_awaited(&e->rx))
        link_wake(e);
}
