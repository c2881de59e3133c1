/* One event, one line, one datagram: see strandline_event.h. */
#include "strandline_event.h"

#include <sys/time.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Shortest time between two reports of dropped events, in seconds. */
#define REPORT_INTERVAL	60

/* <134>: facility 16 (local0) * 8 + severity 6 (informational); RFC 5424, section 6.2.1. */
#define HEADER_FORMAT	"<134>1 %04d-%02d-%02dT%02d:%02d:%02d.%06ldZ - %.48s %ld - - "

/* The longest tail of a value: quote, slash, 20 digits of a 64-bit length. */
#define VALUE_TAIL_MAX	22

static const char hex_digits[] = "0123456789abcdef";

static size_t
room(const struct strandline_event *event)
{
	return STRANDLINE_EVENT_LINE_MAX - event->used;
}

/* Appends as much of `length` bytes as fits. */
static void
append(struct strandline_event *event, const char *bytes, size_t length)
{
	if (length > room(event))
		length = room(event);
	memcpy(event->line + event->used, bytes, length);
	event->used += length;
	event->line[event->used] = '\0';
}

static void
append_key(struct strandline_event *event, const char *key)
{
	if (event->used > 0)
		append(event, " ", 1);
	append(event, key, strlen(key));
	append(event, "=", 1);
}

static int
is_token_byte(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("_.:+/=-", c) != NULL);
}

static int
is_plain_byte(unsigned char c)
{
	return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

static void
append_endpoint(struct strandline_event *event, const char *address_key, const char *port_key,
    const struct sockaddr *address)
{
	char text[INET6_ADDRSTRLEN] = "-";
	struct in_addr mapped;
	/* Copies, not casts: the caller's buffer need not be aligned for either. */
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	in_port_t port = 0;

	if (address != NULL && address->sa_family == AF_INET) {
		memcpy(&in4, address, sizeof(in4));
		port = in4.sin_port;
		inet_ntop(AF_INET, &in4.sin_addr, text, sizeof(text));
	} else if (address != NULL && address->sa_family == AF_INET6) {
		memcpy(&in6, address, sizeof(in6));
		port = in6.sin6_port;
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			memcpy(&mapped, &in6.sin6_addr.s6_addr[12], sizeof(mapped));
			inet_ntop(AF_INET, &mapped, text, sizeof(text));
		} else
			inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
	}
	strandline_event_token(event, address_key, text);
	if (text[0] == '-')
		strandline_event_token(event, port_key, "-");
	else
		strandline_event_number(event, port_key, ntohs(port));
}

void
strandline_event_begin(struct strandline_event *event, const char *name, const struct sockaddr *source,
    const struct sockaddr *destination, const char *proto)
{
	if (clock_gettime(CLOCK_REALTIME, &event->time) != 0)
		memset(&event->time, 0, sizeof(event->time));
	event->used = 0;
	event->line[0] = '\0';
	strandline_event_token(event, "event", name);
	append_endpoint(event, "saddr", "sport", source);
	append_endpoint(event, "daddr", "dport", destination);
	strandline_event_token(event, "proto", proto);
}

void
strandline_event_token(struct strandline_event *event, const char *key, const char *token)
{
	size_t i;
	char c;

	append_key(event, key);
	if (token == NULL || token[0] == '\0')
		token = "-";
	for (i = 0; token[i] != '\0' && i < STRANDLINE_EVENT_TOKEN_MAX; i++) {
		c = is_token_byte((unsigned char)token[i]) ? token[i] : '_';
		append(event, &c, 1);
	}
}

void
strandline_event_number(struct strandline_event *event, const char *key, unsigned long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", number);
	strandline_event_token(event, key, text);
}

void
strandline_event_value(struct strandline_event *event, const char *key, const void *bytes, size_t length, size_t cap)
{
	const unsigned char *byte = bytes;
	char escape[4] = { '\\', 'x', 0, 0 }, tail[VALUE_TAIL_MAX + 1];
	size_t i, size, limit;

	append_key(event, key);
	append(event, "\"", 1);
	/* The tail's room is kept free while the bytes go in, so that the closing quote always has its place. */
	limit = STRANDLINE_EVENT_LINE_MAX - STRANDLINE_EVENT_RESERVE - VALUE_TAIL_MAX;
	for (i = 0; i < length && i < cap; i++) {
		size = is_plain_byte(byte[i]) ? 1 : sizeof(escape);
		if (event->used + size > limit)
			break;
		if (size == 1) {
			append(event, (const char *)&byte[i], 1);
			continue;
		}
		escape[2] = hex_digits[byte[i] >> 4];
		escape[3] = hex_digits[byte[i] & 0x0f];
		append(event, escape, sizeof(escape));
	}
	if (i < length)
		snprintf(tail, sizeof(tail), "\"/%zu", length);
	else
		snprintf(tail, sizeof(tail), "\"");
	append(event, tail, strlen(tail));
}

size_t
strandline_event_format(const struct strandline_event *event, const char *program, pid_t pid, char *out, size_t size)
{
	struct tm utc;
	int header;

	if (gmtime_r(&event->time.tv_sec, &utc) == NULL)
		return 0;
	header = snprintf(out, size, HEADER_FORMAT, utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
	    utc.tm_min, utc.tm_sec, (long)(event->time.tv_nsec / 1000), program, (long)pid);
	if (header < 0 || (size_t)header + event->used >= size)
		return 0;
	memcpy(out + header, event->line, event->used + 1);
	return (size_t)header + event->used;
}

void
strandline_writer_init(struct strandline_writer *writer, const char *path, const char *program,
    unsigned int timeout_ms, void (*report)(unsigned long dropped, int error))
{
	memset(writer, 0, sizeof(*writer));
	writer->path = path;
	writer->program = program;
	writer->timeout_ms = timeout_ms;
	writer->report = report;
	writer->fd = -1;
}

static void
writer_disconnect(struct strandline_writer *writer)
{
	if (writer->fd != -1)
		close(writer->fd);
	writer->fd = -1;
}

/* Returns 0, or -1 with errno. */
static int
writer_connect(struct strandline_writer *writer)
{
	struct sockaddr_un address;
	struct timeval timeout;
	int error;

	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	if (strlen(writer->path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, writer->path, strlen(writer->path) + 1);
	/* Closed on exec: no program that a listener starts inherits the way to write events. */
	if ((writer->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return -1;
	timeout.tv_sec = (time_t)(writer->timeout_ms / 1000);
	timeout.tv_usec = (suseconds_t)(writer->timeout_ms % 1000) * 1000;
	if (setsockopt(writer->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
	    connect(writer->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	error = errno;
	writer_disconnect(writer);
	errno = error;
	return -1;
}

/* Did the other end go away, so that connecting again may help? */
static int
is_stale(int error)
{
	return error == ECONNREFUSED || error == ENOENT || error == ENOTCONN || error == ECONNRESET || error == EPIPE;
}

static int
writer_try(struct strandline_writer *writer, const char *datagram, size_t length)
{
	/* SO_SNDTIMEO of 0 means for ever, so no wait at all is asked for by flag. */
	int flags = MSG_NOSIGNAL | (writer->timeout_ms == 0 ? MSG_DONTWAIT : 0);
	ssize_t sent;
	int tries = 0;

	if (writer->fd == -1 && writer_connect(writer) == -1)
		return -1;
	do
		sent = send(writer->fd, datagram, length, flags);
	while (sent == -1 && errno == EINTR && ++tries < 10);
	return sent == -1 ? -1 : 0;
}

static void
writer_report(struct strandline_writer *writer, int at_once)
{
	struct timespec now;

	if (writer->report == NULL || writer->dropped == writer->reported ||
	    clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		return;
	if (!at_once && writer->reported_at != 0 && now.tv_sec - writer->reported_at < REPORT_INTERVAL)
		return;
	writer->report(writer->dropped - writer->reported, writer->error);
	writer->reported = writer->dropped;
	writer->reported_at = now.tv_sec;
}

int
strandline_writer_send(struct strandline_writer *writer, const struct strandline_event *event)
{
	char datagram[STRANDLINE_EVENT_DATAGRAM_MAX];
	size_t length;
	int result = -1;

	length = strandline_event_format(event, writer->program, getpid(), datagram, sizeof(datagram));
	if (length == 0)
		errno = EMSGSIZE;
	else if ((result = writer_try(writer, datagram, length)) == -1 && is_stale(errno)) {
		writer_disconnect(writer);
		result = writer_try(writer, datagram, length);
	}
	if (result == -1) {
		writer->error = errno;
		writer->dropped++;
	}
	writer_report(writer, 0);
	if (result == -1)
		errno = writer->error;
	return result;
}

void
strandline_writer_close(struct strandline_writer *writer)
{
	writer_disconnect(writer);
	writer_report(writer, 1);
}
