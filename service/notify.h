/* SPDX-License-Identifier: MIT */
/* Telling systemd how the service is: one datagram to $NOTIFY_SOCKET (sd_notify(3)). Does nothing
 * without that variable. */
#ifndef GANGER_SERVICE_NOTIFY_H
#define GANGER_SERVICE_NOTIFY_H

void notify_supervisor(const char *state); /* "READY=1", "STOPPING=1" */

#endif
