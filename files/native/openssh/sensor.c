/* Events of the sensor's OpenSSH: see sensor.h. */
#include "includes.h"

#include <sys/types.h>
#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "log.h"
#include "misc.h"
#include "sensor.h"
#include "sshbuf.h"
#include "sshkey.h"
#include "strandline_event.h"
#include "xmalloc.h"

#define PROGRAM		"strandline-ssh"
#define PEER_VARIABLE	"STRANDLINE_PEER"

/* Longest wait for syslog-ng: a session waits, the listener's other clients must not. Milliseconds. */
#define SESSION_WAIT	2000
#define LISTENER_WAIT	100

/* Bytes of a first line that are looked at; the event keeps STRANDLINE_EVENT_CAP of them. */
#define LINE_MAX_BYTES	1024

/* Requests and answers of one connection; sshd-auth itself ends a connection at 1024 requests. */
#define REQUESTS_MAX	1100

/* Shortest time between two lines of sshd's about connections that were ended early, in seconds. */
#define REPORT_INTERVAL	60

/* Seconds from the first signal to a hard end. */
#define STOP_SECONDS	5

static struct strandline_writer writer = { .fd = -1 };
static struct sockaddr_storage source, destination;
static pid_t owner;		/* the process that took the connection; a child of it writes nothing */
static int client_written;
static int listener_pipe = -1;

/* The request that is still to become an event; `event` is its ssh.method. */
static struct {
	int			 waiting;
	struct strandline_event	 event;
	u_char			*user;
	size_t			 user_length;
	u_int			 count;
} request;

static volatile sig_atomic_t stopping;
static volatile sig_atomic_t stop_sock = -1;
static volatile pid_t stop_child = -1;

static void
report_dropped(unsigned long dropped, int cause)
{
	error("sensor: %lu events dropped: %s: %s", dropped, STRANDLINE_EVENT_SOCKET, strerror(cause));
}

static void
begin(struct strandline_event *event, const char *name)
{
	strandline_event_begin(event, name, (struct sockaddr *)&source, (struct sockaddr *)&destination, "tcp");
}

static void
set_destination(int sock)
{
	socklen_t length = sizeof(destination);

	memset(&destination, 0, sizeof(destination));
	if (getsockname(sock, (struct sockaddr *)&destination, &length) == -1)
		memset(&destination, 0, sizeof(destination));
}

static socklen_t
address_length(const struct sockaddr *address)
{
	switch (address->sa_family) {
	case AF_INET:
		return sizeof(struct sockaddr_in);
	case AF_INET6:
		return sizeof(struct sockaddr_in6);
	default:
		return 0;
	}
}

/* An SSH 2 identification, 1.99 included (RFC 4253, section 5.1). */
static int
is_identification(const u_char *line, size_t length)
{
	return (length > 8 && memcmp(line, "SSH-2.0-", 8) == 0) || (length > 9 && memcmp(line, "SSH-1.99-", 9) == 0);
}

/*
 * Appends to `line`, which holds `length` bytes without a line end, what else has arrived, up to the line's end.
 * Sets *whole when the end was found. Returns the new length.
 */
static size_t
read_rest(int sock, u_char *line, size_t length, size_t size, int *whole)
{
	u_char *end;
	ssize_t n;

	if (length >= size || (n = recv(sock, line + length, size - length, MSG_DONTWAIT)) <= 0)
		return length;
	if ((end = memchr(line + length, '\n', n)) == NULL)
		return length + n;
	*whole = 1;
	if (end > line && end[-1] == '\r')
		end--;
	return end - line;
}

static void
write_client(int valid, const u_char *line, size_t held, size_t length)
{
	struct strandline_event event;

	client_written = 1;
	begin(&event, "ssh.client");
	strandline_event_token(&event, "valid", valid ? "yes" : "no");
	/* Only when the line is longer than what was kept of it do the two lengths differ; both are beyond the cap. */
	strandline_event_value(&event, "ident", line, held == LINE_MAX_BYTES ? length : held, STRANDLINE_EVENT_CAP);
	strandline_writer_send(&writer, &event);
}

void
sensor_refused(int sock, const struct sockaddr *peer)
{
	u_char line[LINE_MAX_BYTES];
	size_t length;
	int whole = 0;

	if (writer.path == NULL)
		strandline_writer_init(&writer, STRANDLINE_EVENT_SOCKET, PROGRAM, LISTENER_WAIT, report_dropped);
	memset(&source, 0, sizeof(source));
	memcpy(&source, peer, address_length(peer));
	set_destination(sock);
	length = read_rest(sock, line, 0, sizeof(line), &whole);
	write_client(whole && is_identification(line, length), line, length, length);
}

void
sensor_pass_peer(const struct sockaddr *peer, socklen_t length)
{
	const u_char *byte = (const u_char *)peer;
	char text[2 * sizeof(source) + 1];
	socklen_t i;

	if (length > sizeof(source))
		length = sizeof(source);
	text[0] = '\0';
	for (i = 0; i < length; i++)
		snprintf(text + 2 * i, 3, "%02x", byte[i]);
	if (setenv(PEER_VARIABLE, text, 1) == -1)
		error("sensor: setenv: %s", strerror(errno));
}

static void
take_peer_from_environment(void)
{
	const char *text = getenv(PEER_VARIABLE);
	u_char *byte = (u_char *)&source;
	size_t i;
	u_int value;

	memset(&source, 0, sizeof(source));
	if (text == NULL || strlen(text) % 2 != 0 || strlen(text) / 2 > sizeof(source))
		return;
	for (i = 0; i < strlen(text) / 2; i++) {
		if (sscanf(text + 2 * i, "%2x", &value) != 1)
			break;
		byte[i] = (u_char)value;
	}
}

void
sensor_count_evicted(void)
{
	static u_long evicted, reported;
	static double reported_at;
	double now = monotime_double();

	evicted++;
	if (reported > 0 && now - reported_at < REPORT_INTERVAL)
		return;
	error("sensor: %lu connections ended early because all places, or their source's share of them, were taken; "
	    "%lu since the start", evicted - reported, evicted);
	reported = evicted;
	reported_at = now;
}

static void
hold_stop(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(how, &set, NULL);
}

void
sensor_set_listener(int pipe)
{
	listener_pipe = pipe;
}

void
sensor_progress(void)
{
	/* The listener may have been replaced (SIGHUP), or be busy: then it does without. */
	if (listener_pipe != -1)
		(void)send(listener_pipe, "\002", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void
sensor_connection(int sock)
{
	socklen_t length = sizeof(source);

	hold_stop(SIG_BLOCK);

	strandline_writer_init(&writer, STRANDLINE_EVENT_SOCKET, PROGRAM, SESSION_WAIT, report_dropped);
	memset(&source, 0, sizeof(source));
	if (getpeername(sock, (struct sockaddr *)&source, &length) == -1)
		take_peer_from_environment();
	/* sshd-auth gets no copy; it knows the address from its own socket. */
	unsetenv(PEER_VARIABLE);
	set_destination(sock);
	owner = getpid();
}

void
sensor_client(int sock, int valid, int whole, const u_char *line, size_t length)
{
	u_char kept[LINE_MAX_BYTES];
	size_t held = MINIMUM(length, sizeof(kept));
	int ended = whole;

	if (client_written)
		return;
	if (held > 0)
		memcpy(kept, line, held);
	if (!whole) {
		/* Broken off, by the client or at a byte that has no place in an identification: show what else came. */
		held = read_rest(sock, kept, held, sizeof(kept), &ended);
		/*
		 * A client that sent its line and was gone before ours could be written is as real as any other; one whose
		 * line sshd refused byte by byte has a byte in it that no identification has.
		 */
		if (length == 0 && ended && is_identification(kept, held))
			valid = 1;
	}
	if (whole)
		sensor_progress();
	write_client(valid, kept, held, MAXIMUM(length, held));
}

/* The request came to nothing else: it is written as what it was sent as. */
static void
flush_request(void)
{
	if (!request.waiting)
		return;
	request.waiting = 0;
	strandline_writer_send(&writer, &request.event);
}

static int
has_own_event(const u_char *method, size_t length)
{
	static const char *const names[] = {
		"password", "keyboard-interactive", "publickey", "publickey-hostbound-v00@openssh.com", "hostbased"
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (length == strlen(names[i]) && memcmp(method, names[i], length) == 0)
			return 1;
	}
	return 0;
}

/* However many packets a client sends, it does not fill a disk with one connection. */
static void
count_request(void)
{
	if (++request.count > REQUESTS_MAX)
		fatal_f("more than %d requests", REQUESTS_MAX);
}

void
sensor_request(const u_char *user, size_t user_length, const u_char *method, size_t method_length)
{
	flush_request();
	count_request();
	free(request.user);
	request.user = xmalloc(user_length + 1);
	memcpy(request.user, user, user_length);
	request.user_length = user_length;

	begin(&request.event, "ssh.method");
	strandline_event_value(&request.event, "user", user, user_length, STRANDLINE_EVENT_CAP);
	strandline_event_value(&request.event, "method", method, method_length, STRANDLINE_EVENT_CAP);
	request.waiting = 1;
	if (!has_own_event(method, method_length))
		flush_request();
}

/* One event for one request, whatever sshd-auth says. */
static void
take_request(void)
{
	if (!request.waiting)
		fatal_f("no request for this event");
	request.waiting = 0;
}

void
sensor_password(enum sensor_method method, const u_char *password, size_t length)
{
	struct strandline_event event;

	/* The first answer takes the place of its request; more of them, and unasked ones, are passwords all the same. */
	if (method != SENSOR_KBDINT || request.waiting)
		take_request();
	else
		count_request();
	begin(&event, "ssh.password");
	strandline_event_token(&event, "method", method == SENSOR_KBDINT ? "keyboard-interactive" : "password");
	strandline_event_value(&event, "user", request.user, request.user_length, STRANDLINE_EVENT_CAP);
	strandline_event_value(&event, "password", password, length, STRANDLINE_EVENT_CAP);
	strandline_writer_send(&writer, &event);
	explicit_bzero(&event, sizeof(event));
}

/* Fingerprint of the key, or of the bytes as they are when they are no key. NULL when it can't be had. */
static char *
fingerprint(const struct sshkey *key, const u_char *blob, size_t length)
{
	u_char digest[SSH_DIGEST_MAX_LENGTH];
	struct sshbuf *buffer;
	char *text, *result = NULL;

	if (key != NULL)
		return sshkey_fingerprint(key, SSH_DIGEST_SHA256, SSH_FP_BASE64);
	if (ssh_digest_memory(SSH_DIGEST_SHA256, blob, length, digest, sizeof(digest)) != 0 ||
	    (buffer = sshbuf_from(digest, ssh_digest_bytes(SSH_DIGEST_SHA256))) == NULL)
		return NULL;
	if ((text = sshbuf_dtob64_string(buffer, 0)) != NULL) {
		text[strcspn(text, "=")] = '\0';
		xasprintf(&result, "SHA256:%s", text);
	}
	free(text);
	sshbuf_free(buffer);
	return result;
}

void
sensor_key(enum sensor_method method, int with_signature, const u_char *blob, size_t length)
{
	struct strandline_event event;
	struct sshkey *key = NULL;
	char *print;

	take_request();
	if (sshkey_from_blob(blob, length, &key) != 0)
		key = NULL;
	print = fingerprint(key, blob, length);

	begin(&event, "ssh.key");
	strandline_event_token(&event, "method", method == SENSOR_HOSTBASED ? "hostbased" : "publickey");
	strandline_event_token(&event, "signed", with_signature ? "yes" : "no");
	strandline_event_token(&event, "key_type", key == NULL ? "-" : sshkey_ssh_name(key));
	if (key == NULL)
		strandline_event_token(&event, "key_bits", "-");
	else
		strandline_event_number(&event, "key_bits", sshkey_size(key));
	strandline_event_token(&event, "fingerprint", print);
	strandline_event_value(&event, "user", request.user, request.user_length, STRANDLINE_EVENT_CAP);
	strandline_writer_send(&writer, &event);
	free(print);
	sshkey_free(key);
}

void
sensor_end(void)
{
	if (owner == 0 || owner != getpid())
		return;
	owner = 0;
	if (!client_written)
		write_client(0, (const u_char *)"", 0, 0);
	flush_request();
	strandline_writer_close(&writer);
}

/* Only what may be done in a signal handler. */
static void
stop(int signal_number)
{
	int saved = errno;

	if (stopping) {
		/* Only the alarm below ends it the hard way: it may be told to stop by more than one. */
		if (signal_number == SIGALRM)
			_exit(1);
		return;
	}
	stopping = 1;
	alarm(STOP_SECONDS);
	if (stop_sock != -1)
		shutdown(stop_sock, SHUT_RDWR);
	if (stop_child > 1)
		kill(stop_child, SIGKILL);
	errno = saved;
}

void
sensor_catch_stop(int sock)
{
	stop_sock = sock;
	ssh_signal(SIGALRM, stop);
	ssh_signal(SIGTERM, stop);
	hold_stop(SIG_UNBLOCK);
}

void
sensor_set_child(pid_t pid)
{
	stop_child = pid;
}
