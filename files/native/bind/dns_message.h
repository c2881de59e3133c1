/*
 * Reading a DNS message that anybody may have sent, and shortening one that named is about to send.
 *
 * Pure functions on bytes: no socket, no allocation, nothing of BIND. tests/dns calls them by themselves.
 */
#ifndef STRANDLINE_DNS_MESSAGE_H
#define STRANDLINE_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER_LENGTH	12	/* RFC 1035, section 4.1.1 */
#define DNS_NAME_WIRE_MAX	255	/* RFC 1035, section 2.3.4 */
#define DNS_NAME_TEXT_MAX	1024	/* the longest name in presentation format takes 1005 bytes */

/* What a message is. Everything but DNS_QUERY is an event dns.message, with this as its reason. */
enum dns_request_kind {
	DNS_QUERY,	/* a well-formed query with one question */
	DNS_SHORT,	/* less than a header */
	DNS_RESPONSE,	/* QR is set */
	DNS_OPCODE,	/* not QUERY: NOTIFY, UPDATE, STATUS, ... */
	DNS_QUESTION,	/* no question, or more than one */
	DNS_MALFORMED	/* does not parse */
};

struct dns_request {
	enum dns_request_kind	kind;
	size_t			length;		/* of the message, in bytes */

	/* From the header; 0 when kind is DNS_SHORT. */
	uint16_t		id;
	uint16_t		opcode;
	bool			rd;
	bool			cd;
	bool			ad;

	/* The first question; only with has_question. The name is uncompressed, in the client's case. */
	bool			has_question;
	uint8_t			qname[DNS_NAME_WIRE_MAX];
	size_t			qname_length;
	uint16_t		qtype;
	uint16_t		qclass;

	/* OPT (RFC 6891, section 6.1); only with has_edns. */
	bool			has_edns;
	uint8_t			edns_version;
	uint16_t		udpsize;	/* as offered, in bytes */
	bool			dnssec_ok;
	bool			ecs;		/* client subnet, RFC 7871 */
	bool			cookie;		/* RFC 7873 */
};

/* Reads `length` bytes. Never fails: `kind` says what it found, and the rest as far as it could be read. */
void		dns_request_parse(const uint8_t *bytes, size_t length, struct dns_request *request);

/* The word for the event's field `reason`; "-" for DNS_QUERY. */
const char	*dns_request_reason(enum dns_request_kind kind);

/*
 * Writes an uncompressed name in presentation format (RFC 1035, section 5.1), absolute, without a NUL: `.` and `\` within
 * a label and the characters that a zone file treats specially get a backslash, all but printable ASCII becomes \DDD.
 * `out` has room for DNS_NAME_TEXT_MAX bytes. Returns the length.
 */
size_t		dns_name_text(const uint8_t *wire, size_t length, char *out);

/*
 * Shortens a reply in place so that it takes at most `limit` bytes (but never less than a header) and returns its new
 * length. What the asker misses least goes first: the authority and additional sections and the options of OPT, then OPT,
 * then the answer, and only then does TC=1 tell the asker to come back over TCP (RFC 2181, section 9).
 */
size_t		dns_reply_cut(uint8_t *reply, size_t length, size_t limit);

#endif /* STRANDLINE_DNS_MESSAGE_H */
