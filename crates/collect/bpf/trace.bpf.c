/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Handshakes as they happen. Nothing is kept of a sound one: what its stages took is read from the
 * kernel's own sockets when it is complete. What goes wrong is told with an event; the rest is
 * counted, and told only if `settings.all` is set.
 *
 * Each program works without the others. They are in headers by what they tell; whose maps and
 * functions each needs is what it includes.
 */
#include "trace/calls.h"
#include "trace/connections.h"
#include "trace/segments.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";
