/*
 * One event, one line, one datagram: the writer that the C listeners share.
 *
 * The grammar of the line (events.yml in the folder of each protocol names the fields of each event):
 *
 *   event=ssh.client saddr=192.0.2.7 sport=51044 daddr=203.0.113.9 dport=22 proto=tcp valid=yes ident="SSH-2.0-Go"
 *
 * First what the sensor itself knows, as bare tokens; last what the other side chose, escaped and in double quotes,
 * so that no byte of theirs can look like a field of ours.
 *
 * Not thread safe: a program with threads gives each its own struct strandline_writer. A struct strandline_event is
 * 7 KB and lives on the stack or wherever its owner likes; nothing here allocates.
 */
#ifndef STRANDLINE_EVENT_H
#define STRANDLINE_EVENT_H

#include <sys/socket.h>
#include <sys/types.h>

#include <stddef.h>
#include <time.h>

/* Where the sensor's syslog-ng listens (strandline-events.socket). */
#define STRANDLINE_EVENT_SOCKET		"/run/strandline/events/socket"

/* Longest line in bytes, from `event=` on. With the header a datagram stays below syslog-ng's 8192. */
#define STRANDLINE_EVENT_LINE_MAX	7000

/* Bytes of a value that are kept, before escaping, unless the catalogue says otherwise. */
#define STRANDLINE_EVENT_CAP		256

/* Bytes of the line that one value leaves to those that follow it: every field is always present. */
#define STRANDLINE_EVENT_RESERVE	256

/* Longest token in bytes; ours are all far shorter. */
#define STRANDLINE_EVENT_TOKEN_MAX	128

/* Room for a whole datagram: header (at most 128 bytes) and line. */
#define STRANDLINE_EVENT_DATAGRAM_MAX	(STRANDLINE_EVENT_LINE_MAX + 128)

struct strandline_event {
	struct timespec	time;		/* UTC, when the event began */
	size_t		used;		/* bytes of `line` in use, without the final NUL */
	char		line[STRANDLINE_EVENT_LINE_MAX + 1];
};

/*
 * Begins an event, stamps it with the time and writes the six fields that every event has.
 * `source` and `destination` are AF_INET or AF_INET6 addresses; an IPv4-mapped IPv6 address (RFC 4291, section
 * 2.5.5.2) is written as IPv4. NULL or another family gives `-` for address and port. `proto` is "tcp" or "udp".
 */
void	strandline_event_begin(struct strandline_event *event, const char *name, const struct sockaddr *source,
	    const struct sockaddr *destination, const char *proto);

/*
 * Appends key=token. A byte outside [A-Za-z0-9_.:+/=-] becomes `_`; NULL and "" become `-`.
 * `key` is a constant of the program.
 */
void	strandline_event_token(struct strandline_event *event, const char *key, const char *token);

/* Appends key=number, decimal. */
void	strandline_event_number(struct strandline_event *event, const char *key, unsigned long number);

/*
 * Appends key="bytes" with all but printable ASCII, and `"` and `\`, as \xNN. At most `cap` of the `length` bytes are
 * kept, and fewer when the line would pass STRANDLINE_EVENT_LINE_MAX; after a value that was cut stands /length.
 * `bytes` may be NULL when `length` is 0.
 */
void	strandline_event_value(struct strandline_event *event, const char *key, const void *bytes, size_t length,
	    size_t cap);

/*
 * Writes the datagram (RFC 5424, section 6: facility local0, severity informational, no host name, no structured
 * data, no newline) into `out` and returns its length in bytes, or 0 when `size` is too small
 * (STRANDLINE_EVENT_DATAGRAM_MAX always suffices).
 */
size_t	strandline_event_format(const struct strandline_event *event, const char *program, pid_t pid, char *out,
	    size_t size);

/* The connection to syslog-ng's socket. */
struct strandline_writer {
	const char	*path;		/* of the socket */
	const char	*program;	/* APP-NAME, for example "strandline-ssh" */
	unsigned int	 timeout_ms;	/* longest wait of one send, in milliseconds; 0: do not wait */
	void		(*report)(unsigned long dropped, int error);	/* may be NULL */
	int		 fd;		/* -1: not connected */
	int		 error;		/* errno of the latest failure */
	unsigned long	 dropped;	/* events lost since strandline_writer_init */
	unsigned long	 reported;	/* of these, how many `report` has been told */
	time_t		 reported_at;	/* monotonic, seconds; 0: never */
};

/*
 * Prepares a writer; connects nothing yet. `path` and `program` must outlive it. `report` is called with the number
 * of events that were dropped since it was last called, at most once a minute, and with the errno of the latest.
 */
void	strandline_writer_init(struct strandline_writer *writer, const char *path, const char *program,
	    unsigned int timeout_ms, void (*report)(unsigned long dropped, int error));

/*
 * Sends an event; connects when needed and once more when syslog-ng was restarted meanwhile. Returns 0, or -1 with
 * errno when the event was dropped. Waits at most timeout_ms for room in the socket's queue.
 */
int	strandline_writer_send(struct strandline_writer *writer, const struct strandline_event *event);

/* Closes the socket and reports what has been dropped and not yet reported. */
void	strandline_writer_close(struct strandline_writer *writer);

#endif /* STRANDLINE_EVENT_H */
