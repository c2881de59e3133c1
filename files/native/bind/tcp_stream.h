/*
 * What a TCP client of named sends, as far as no DNS message comes of it: a state machine over the bytes, without any
 * socket.
 *
 * On TCP a message follows two bytes with its length (RFC 1035, section 4.2.2). libns sees whole messages only; a
 * client that says nothing, speaks another protocol, or goes in the middle of a message, never gets that far.
 */
#ifndef TCP_STREAM_H
#define TCP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of what is unfinished that are kept, as in an event (files/strandline/protocols/dns/events.yml). */
#define TCP_STREAM_KEPT 256

/* All zero at the beginning. */
struct tcp_stream {
	bool	 spoke;			/* a whole message was there */
	bool	 broken;		/* a message of no length: named ends the connection, and nothing after it counts */
	size_t	 unfinished;		/* bytes since the last whole message, its two bytes of length included */
	uint8_t	 kept[TCP_STREAM_KEPT];	/* the first of them */
};

/* Takes bytes that the client sent. */
void	tcp_stream_take(struct tcp_stream *stream, const uint8_t *bytes, size_t length);

/* At its end: does the connection owe an event, because no message came of it, or only a part of the last one? */
bool	tcp_stream_owes(const struct tcp_stream *stream);

#endif /* TCP_STREAM_H */
