/*
 * Strandline's part of named: one event for each DNS message that arrives and for each TCP connection that ends without
 * a whole one, and no reply over UDP that is larger than what asked for it.
 *
 * named loads this object twice, and both times it is the same one: as LD_PRELOAD, so that the functions below stand
 * before libns', libisc's and libuv's own, and as a plugin of each view through named's plugin API (ns/hooks.h).
 *
 *   ns_client_request   libns gets each datagram and each complete TCP message here, before anything is thrown away.
 *                       The plugin API's first hook, NS_QUERY_SETUP, comes later: it never sees AXFR, NOTIFY, UPDATE, other
 *                       opcodes, classes without a view and malformed messages.
 *   isc_nm_send         each reply passes here, from every branch of named, error replies without any hook included.
 *   uv_accept, uv_read_start, uv_close, uv_tcp_close_reset
 *                       libisc's way to TCP (libuv's public interface): here pass the connections and bytes of which
 *                       libns never hears, because no whole message comes of them.
 *   NS_QUERY_SETUP      tells whether the query carried a valid server cookie (RFC 7873): the sender owns its address.
 *
 * The layout of named's structures is not stable between releases, hence the package's exact dependency on bind9.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include <isc/buffer.h>
#include <isc/mem.h>
#include <isc/netmgr.h>
#include <isc/region.h>
#include <isc/result.h>
#include <isc/sockaddr.h>
#include <isc/util.h>

#include <dns/rdataclass.h>
#include <dns/rdatatype.h>

#include <ns/client.h>
#include <ns/hooks.h>
#include <ns/query.h>

#include "dns_message.h"
#include "strandline_event.h"
#include "tcp_stream.h"

#define PROGRAM		"strandline-dns"	/* files/strandline/protocols/dns/events.yml */
#define QNAME_CAP	1024			/* likewise: a name is never cut */
#define DATA_CAP	256			/* likewise */

#define EXPORTED	__attribute__((visibility("default")))

typedef void request_function(isc_nmhandle_t *, isc_result_t, isc_region_t *, void *);
typedef void send_function(isc_nmhandle_t *, isc_region_t *, isc_nm_cb_t, void *);

/* TCP connections are found by their handle: as many lists as this. */
#define BUCKETS		256

typedef int accept_function(uv_stream_t *, uv_stream_t *);
typedef int read_start_function(uv_stream_t *, uv_alloc_cb, uv_read_cb);
typedef void close_function(uv_handle_t *, uv_close_cb);
typedef int close_reset_function(uv_tcp_t *, uv_close_cb);

EXPORTED accept_function	uv_accept;
EXPORTED read_start_function	uv_read_start;
EXPORTED close_function		uv_close;
EXPORTED close_reset_function	uv_tcp_close_reset;
EXPORTED request_function	ns_client_request;
EXPORTED send_function		isc_nm_send;

static request_function	*next_request;
static send_function	*next_send;
static accept_function	*next_accept;
static read_start_function *next_read_start;
static close_function	*next_close;
static close_reset_function *next_close_reset;

/* One writer for each of named's threads: no lock. */
static _Thread_local struct strandline_writer	writer;
static _Thread_local bool			writer_ready;

/* The message in hand: set while named's ns_client_request runs in this thread. */
static _Thread_local isc_nmhandle_t		*current_handle;
static _Thread_local bool			current_verified;

/*
 * Finds the functions that ours stand before. As early as can be, because from here on they are called. In a program
 * that only loads the plugin to check it (named-checkconf) they are not found and not needed.
 */
__attribute__((constructor)) static void
find_next(void)
{
	/* POSIX lets dlsym's result become a pointer to a function; ISO C wants it copied. */
	*(void **)&next_request = dlsym(RTLD_NEXT, "ns_client_request");
	*(void **)&next_send = dlsym(RTLD_NEXT, "isc_nm_send");
	*(void **)&next_accept = dlsym(RTLD_NEXT, "uv_accept");
	*(void **)&next_read_start = dlsym(RTLD_NEXT, "uv_read_start");
	*(void **)&next_close = dlsym(RTLD_NEXT, "uv_close");
	*(void **)&next_close_reset = dlsym(RTLD_NEXT, "uv_tcp_close_reset");
}

/* named's stderr is the journal. The writer calls this at most once a minute. */
static void
report_dropped(unsigned long dropped, int error)
{
	fprintf(stderr, "strandline: %lu events dropped: %s\n", dropped, strerror(error));
}

static void
send_event(const struct strandline_event *event)
{
	if (!writer_ready) {
		/* No waiting: named's one loop answers everybody. The socket's queue holds thousands of events. */
		strandline_writer_init(&writer, STRANDLINE_EVENT_SOCKET, PROGRAM, 0, report_dropped);
		writer_ready = true;
	}
	(void)strandline_writer_send(&writer, event);
}

static void
add_question(struct strandline_event *event, const struct dns_request *request)
{
	char class[DNS_RDATACLASS_FORMATSIZE], type[DNS_RDATATYPE_FORMATSIZE];

	if (!request->has_question) {
		strandline_event_token(event, "qclass", NULL);
		strandline_event_token(event, "qtype", NULL);
		return;
	}
	dns_rdataclass_format(request->qclass, class, sizeof(class));
	dns_rdatatype_format(request->qtype, type, sizeof(type));
	strandline_event_token(event, "qclass", class);
	strandline_event_token(event, "qtype", type);
}

static void
add_qname(struct strandline_event *event, const struct dns_request *request)
{
	char text[DNS_NAME_TEXT_MAX];
	size_t length = 0;

	if (request->has_question)
		length = dns_name_text(request->qname, request->qname_length, text);
	strandline_event_value(event, "qname", text, length, QNAME_CAP);
}

/* The fields of dns.query, in the order of files/strandline/protocols/dns/events.yml. */
static void
add_query(struct strandline_event *event, const struct dns_request *request)
{
	strandline_event_number(event, "id", request->id);
	strandline_event_number(event, "opcode", request->opcode);
	strandline_event_number(event, "rd", request->rd);
	strandline_event_number(event, "cd", request->cd);
	strandline_event_number(event, "ad", request->ad);
	if (request->has_edns) {
		strandline_event_number(event, "edns", request->edns_version);
		strandline_event_number(event, "udpsize", request->udpsize);
	} else {
		strandline_event_token(event, "edns", NULL);
		strandline_event_token(event, "udpsize", NULL);
	}
	strandline_event_number(event, "do", request->dnssec_ok);
	strandline_event_number(event, "ecs", request->ecs);
	strandline_event_number(event, "cookie", request->cookie);
	add_question(event, request);
	add_qname(event, request);
}

/* The fields of dns.message, likewise. `data` holds the message's first DATA_CAP bytes, if it has as many. */
static void
add_message(struct strandline_event *event, const struct dns_request *request, const uint8_t *data)
{
	strandline_event_token(event, "reason", dns_request_reason(request->kind));
	if (request->kind == DNS_SHORT) {
		strandline_event_token(event, "id", NULL);
		strandline_event_token(event, "opcode", NULL);
	} else {
		strandline_event_number(event, "id", request->id);
		strandline_event_number(event, "opcode", request->opcode);
	}
	add_question(event, request);
	add_qname(event, request);
	strandline_event_value(event, "data", data, request->length, DATA_CAP);
}

/* A TCP connection of a client, from uv_accept to uv_close. named bounds their number (tcp-clients). */
struct connection {
	struct connection	*next;
	const uv_handle_t	*handle;
	uv_read_cb		 read;		/* libisc's */
	struct sockaddr_storage	 source, destination;
	struct tcp_stream	 stream;
};

/* A handle belongs to one loop, and a loop to one thread: no lock. */
static _Thread_local struct connection *connections[BUCKETS];

static struct connection **
find_connection(const uv_handle_t *handle)
{
	struct connection **place = &connections[((uintptr_t)handle >> 6) % BUCKETS];

	while (*place != NULL && (*place)->handle != handle)
		place = &(*place)->next;
	return place;
}

/* In libuv's place: a client is there. */
int
uv_accept(uv_stream_t *server, uv_stream_t *client)
{
	int result = next_accept(server, client), size;
	struct connection **place, *connection;

	if (result != 0 || client->type != UV_TCP)
		return result;
	place = find_connection((uv_handle_t *)client);
	/* Without memory a connection goes unnoticed; named itself will hardly serve it. */
	if (*place != NULL || (connection = calloc(1, sizeof(*connection))) == NULL)
		return result;
	connection->handle = (uv_handle_t *)client;
	size = sizeof(connection->source);
	if (uv_tcp_getpeername((uv_tcp_t *)client, (struct sockaddr *)&connection->source, &size) != 0)
		memset(&connection->source, 0, sizeof(connection->source));
	size = sizeof(connection->destination);
	if (uv_tcp_getsockname((uv_tcp_t *)client, (struct sockaddr *)&connection->destination, &size) != 0)
		memset(&connection->destination, 0, sizeof(connection->destination));
	*place = connection;
	return result;
}

static void
on_read(uv_stream_t *client, ssize_t length, const uv_buf_t *buffer)
{
	struct connection *connection = *find_connection((uv_handle_t *)client);

	if (connection == NULL)
		return;
	if (length > 0)
		tcp_stream_take(&connection->stream, (const uint8_t *)buffer->base, (size_t)length);
	connection->read(client, length, buffer);
}

/* In libuv's place: what libisc reads from a client passes by on_read. */
int
uv_read_start(uv_stream_t *client, uv_alloc_cb allocate, uv_read_cb read)
{
	struct connection *connection = *find_connection((uv_handle_t *)client);

	if (connection == NULL)
		return next_read_start(client, allocate, read);
	connection->read = read;
	return next_read_start(client, allocate, on_read);
}

/* The connection ends: its event, if no message of it has one. */
static void
forget_connection(const uv_handle_t *handle)
{
	static const struct dns_request nothing;
	struct connection **place = find_connection(handle), *connection = *place;
	struct strandline_event event;

	if (connection == NULL)
		return;
	*place = connection->next;
	if (tcp_stream_owes(&connection->stream)) {
		strandline_event_begin(&event, "dns.message", (struct sockaddr *)&connection->source,
		    (struct sockaddr *)&connection->destination, "tcp");
		strandline_event_token(&event, "verified", "yes");
		strandline_event_token(&event, "reason", "unfinished");
		strandline_event_token(&event, "id", NULL);
		strandline_event_token(&event, "opcode", NULL);
		add_question(&event, &nothing);
		add_qname(&event, &nothing);
		strandline_event_value(&event, "data", connection->stream.kept, connection->stream.unfinished, DATA_CAP);
		send_event(&event);
	}
	free(connection);
}

void
uv_close(uv_handle_t *handle, uv_close_cb done)
{
	if (handle->type == UV_TCP)
		forget_connection(handle);
	next_close(handle, done);
}

int
uv_tcp_close_reset(uv_tcp_t *client, uv_close_cb done)
{
	forget_connection((uv_handle_t *)client);
	return next_close_reset(client, done);
}

/* In libns' place: writes the event of each message around named's own handling of it. */
void
ns_client_request(isc_nmhandle_t *handle, isc_result_t result, isc_region_t *region, void *arg)
{
	struct strandline_event event;
	struct dns_request request;
	isc_sockaddr_t source, destination;
	uint8_t data[DATA_CAP];
	bool stream, verified;

	/* A closed connection, a time-out: no message. */
	if (result != ISC_R_SUCCESS || region == NULL) {
		next_request(handle, result, region, arg);
		return;
	}
	source = isc_nmhandle_peeraddr(handle);
	destination = isc_nmhandle_localaddr(handle);
	stream = isc_nmhandle_is_stream(handle);
	dns_request_parse(region->base, region->length, &request);
	strandline_event_begin(&event, request.kind == DNS_QUERY ? "dns.query" : "dns.message", &source.type.sa,
	    &destination.type.sa, stream ? "tcp" : "udp");
	/* The message's buffer is named's: after the call nothing may be read from it. */
	if (request.kind != DNS_QUERY && region->length > 0)
		memcpy(data, region->base, region->length < DATA_CAP ? region->length : DATA_CAP);

	current_handle = handle;
	current_verified = stream;
	next_request(handle, result, region, arg);
	verified = current_verified;
	current_handle = NULL;

	strandline_event_token(&event, "verified", verified ? "yes" : "no");
	if (request.kind == DNS_QUERY)
		add_query(&event, &request);
	else
		add_message(&event, &request, data);
	send_event(&event);
}

/* Did the client prove that it receives what is sent to its address? Notes it for the event. */
static bool
is_verified(const ns_client_t *client)
{
	bool verified = (client->attributes & (NS_CLIENTATTR_TCP | NS_CLIENTATTR_HAVECOOKIE)) != 0;

	/* A query signed with SIG(0) is finished later, from another place: its event has been written by then. */
	if (verified && current_handle != NULL && client->handle == current_handle)
		current_verified = true;
	return verified;
}

/*
 * In libisc's place: a datagram's source may be forged, and then the reply hits a third party. It never gets more bytes
 * than the forger sent. A server cookie is 16 bytes more than a client's, so that cookies are handed out over TCP only.
 */
void
isc_nm_send(isc_nmhandle_t *handle, isc_region_t *region, isc_nm_cb_t done, void *arg)
{
	const ns_client_t *client = arg;

	/* named sends requests of its own (it has no reason to, here) with another argument. */
	if (!isc_nmhandle_is_stream(handle) && client != NULL && isc_nmhandle_getdata(handle) == arg &&
	    NS_CLIENT_VALID(client) && client->handle == handle && client->buffer != NULL && !is_verified(client))
		region->length = (unsigned int)dns_reply_cut(region->base, region->length,
		    isc_buffer_usedlength(client->buffer));
	next_send(handle, region, done, arg);
}

/* NS_QUERY_SETUP: the first hook at which OPT, and so the cookie, has been checked. */
static ns_hookresult_t
on_query_setup(void *arg, void *data, isc_result_t *result)
{
	const query_ctx_t *query = arg;

	UNUSED(data);
	UNUSED(result);
	(void)is_verified(query->client);
	return NS_HOOK_CONTINUE;
}

EXPORTED isc_result_t
plugin_register(const char *parameters, const void *cfg, const char *file, unsigned long line, isc_mem_t *mctx,
    isc_log_t *lctx, void *actx, ns_hooktable_t *hooktable, void **instance)
{
	static char the_only_one;
	const ns_hook_t setup = { .action = on_query_setup };

	UNUSED(parameters);
	UNUSED(cfg);
	UNUSED(lctx);
	UNUSED(actx);
	/* Half a sensor is worse than none: it would look as if nobody came, and could be used against others. */
	if (dlsym(RTLD_DEFAULT, "ns_client_request") != (void *)ns_client_request ||
	    dlsym(RTLD_DEFAULT, "isc_nm_send") != (void *)isc_nm_send ||
	    dlsym(RTLD_DEFAULT, "uv_accept") != (void *)uv_accept || next_request == NULL || next_send == NULL ||
	    next_accept == NULL || next_read_start == NULL || next_close == NULL || next_close_reset == NULL) {
		fprintf(stderr, "strandline: %s:%lu: named must be started with this plugin as LD_PRELOAD\n", file, line);
		return ISC_R_FAILURE;
	}
	ns_hook_add(hooktable, mctx, NS_QUERY_SETUP, &setup);
	*instance = &the_only_one;
	return ISC_R_SUCCESS;
}

EXPORTED isc_result_t
plugin_check(const char *parameters, const void *cfg, const char *file, unsigned long line, isc_mem_t *mctx,
    isc_log_t *lctx, void *actx)
{
	UNUSED(cfg);
	UNUSED(mctx);
	UNUSED(lctx);
	UNUSED(actx);
	if (parameters != NULL && parameters[0] != '\0') {
		fprintf(stderr, "strandline: %s:%lu: the plugin takes no parameters\n", file, line);
		return ISC_R_FAILURE;
	}
	return ISC_R_SUCCESS;
}

EXPORTED void
plugin_destroy(void **instance)
{
	*instance = NULL;
}

EXPORTED int
plugin_version(void)
{
	return NS_PLUGIN_VERSION;
}
