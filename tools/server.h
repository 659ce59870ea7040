/*
 * server.h - all parts of the embedded default wired together in one process: shards with their
 * logs, views, archives and loaders; gateways; the links between them; and the threads.
 *
 *     gateway thread 0 ... G-1      one gateway each, sleeps in its sockets' ring
 *     sequencer thread 0 ... T-1    shards s with s % T == t, sleeps in its disk's ring
 *     archive thread, loader thread every shard's role of that kind
 *     ops thread                    with --metrics-listen alone
 *
 * server_open recovers (the view, the log behind it, the view brought up to the log's end) before
 * any thread runs. The order at the end is the reverse of the journey: gateways say goodbye while
 * shards still answer; shards stop once nothing waits; archives catch up.
 *
 * Owner: the main thread. Errors have been said in one line when a function returns one.
 */
#ifndef PENSTOCK_TOOLS_SERVER_H
#define PENSTOCK_TOOLS_SERVER_H

#include "tools/config.h"
#include "tools/datadir.h"

struct server;

enum status server_open(struct server **out, const struct config *config,
                        const struct datadir *dir) must_use;
/* Starts the threads; returns once every shard is known to every gateway. */
enum status server_start(struct server *s) must_use;
uint16_t server_port(const struct server *s);
uint16_t server_metrics_port(const struct server *s);
/* What must end the process: a failed write, a corrupt view. Has been said. */
enum status server_check(struct server *s) must_use;
/* Tells the clients, waits until all is stored, stops the threads. `hurry` is asked while waiting:
 * true skips the rest of a wait. STATUS_UNAVAILABLE: something did not end in time (said); what was
 * acknowledged is stored all the same. */
enum status server_stop(struct server *s, bool (*hurry)(void)) must_use;
/* After server_stop, or when server_start failed. NULL is fine. */
void server_close(struct server *s);

#endif
