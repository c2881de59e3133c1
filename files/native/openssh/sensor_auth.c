/* What sshd-auth tells sshd-session of the client's packets: see sensor.h. */
#include "includes.h"

#include <sys/types.h>

#include <string.h>

#ifdef WITH_OPENSSL
#include <openssl/dh.h>
#endif

#include "log.h"
#include "monitor.h"
#include "monitor_wrap.h"
#include "packet.h"
#include "sensor.h"
#include "ssh2.h"
#include "sshbuf.h"
#include "ssherr.h"

/* Answers of one packet that are told; no client has more, and stock sshd takes no more either. */
#define ANSWERS_MAX	100

extern struct monitor *pmonitor;

/* A string of RFC 4251, section 5, where it is; it lives as long as the packet. */
struct text {
	const u_char	*bytes;
	size_t		 length;
};

/* Takes a string off the packet; returns 0 and an empty one when there is no whole one. */
static int
take(struct sshbuf *packet, struct text *text)
{
	if (sshbuf_get_string_direct(packet, &text->bytes, &text->length) == 0)
		return 1;
	text->bytes = NULL;
	text->length = 0;
	return 0;
}

static int
is_method(const struct text *method, const char *name)
{
	return method->length == strlen(name) && memcmp(method->bytes, name, method->length) == 0;
}

static void
tell(enum monitor_reqtype type, struct sshbuf *message)
{
	mm_request_send(pmonitor->m_recvfd, type, message);
	sshbuf_free(message);
}

static struct sshbuf *
new_message(void)
{
	struct sshbuf *message = sshbuf_new();

	if (message == NULL)
		fatal_f("sshbuf_new failed");
	return message;
}

static void
tell_request(const struct text *user, const struct text *method)
{
	struct sshbuf *message = new_message();
	int r;

	if ((r = sshbuf_put_string(message, user->bytes, user->length)) != 0 ||
	    (r = sshbuf_put_string(message, method->bytes, method->length)) != 0)
		fatal_fr(r, "assemble");
	tell(MONITOR_REQ_SENSOR_REQUEST, message);
}

static void
tell_password(enum sensor_method method, const struct text *password)
{
	struct sshbuf *message = new_message();
	int r;

	if ((r = sshbuf_put_u8(message, method)) != 0 ||
	    (r = sshbuf_put_string(message, password->bytes, password->length)) != 0)
		fatal_fr(r, "assemble");
	tell(MONITOR_REQ_SENSOR_PASSWORD, message);
}

static void
tell_key(enum sensor_method method, int with_signature, const struct text *blob)
{
	struct sshbuf *message = new_message();
	int r;

	if ((r = sshbuf_put_u8(message, method)) != 0 ||
	    (r = sshbuf_put_u8(message, with_signature)) != 0 ||
	    (r = sshbuf_put_string(message, blob->bytes, blob->length)) != 0)
		fatal_fr(r, "assemble");
	tell(MONITOR_REQ_SENSOR_KEY, message);
}

/* SSH_MSG_USERAUTH_REQUEST (RFC 4252, section 5), as far as it can be read. Bytes after it change nothing. */
static void
watch_request(struct sshbuf *packet)
{
	struct text user, service, method = { NULL, 0 }, text;
	u_char flag;

	if (take(packet, &user) && take(packet, &service))
		(void)take(packet, &method);
	tell_request(&user, &method);

	if (is_method(&method, "password")) {
		/* A request to change the password tries the old one (section 8). */
		if (sshbuf_get_u8(packet, &flag) == 0 && take(packet, &text))
			tell_password(SENSOR_PASSWORD, &text);
	} else if (is_method(&method, "publickey") || is_method(&method, "publickey-hostbound-v00@openssh.com")) {
		if (sshbuf_get_u8(packet, &flag) == 0 && take(packet, &text) && take(packet, &text))
			tell_key(SENSOR_PUBLICKEY, flag != 0, &text);
	} else if (is_method(&method, "hostbased")) {
		if (take(packet, &text) && take(packet, &text))
			tell_key(SENSOR_HOSTBASED, 1, &text);
	}
}

/* SSH_MSG_USERAUTH_INFO_RESPONSE (RFC 4256, section 3.4): every answer in it, however many were asked for. */
static void
watch_answers(struct sshbuf *packet)
{
	struct text answer;
	u_int32_t stated, i;

	if (sshbuf_get_u32(packet, &stated) != 0)
		return;
	for (i = 0; i < stated && i < ANSWERS_MAX && take(packet, &answer); i++)
		tell_password(SENSOR_KBDINT, &answer);
}

void
sensor_packet(struct ssh *ssh, u_char type)
{
	struct sshbuf *packet;
	const u_char *bytes;
	size_t length;

	if (type != SSH2_MSG_USERAUTH_REQUEST && type != SSH2_MSG_USERAUTH_INFO_RESPONSE)
		return;
	bytes = sshpkt_ptr(ssh, &length);
	/* A second view of the packet: sshd reads and judges the first. */
	if ((packet = sshbuf_from(bytes, length)) == NULL)
		fatal_f("sshbuf_from failed");
	if (type == SSH2_MSG_USERAUTH_REQUEST)
		watch_request(packet);
	else
		watch_answers(packet);
	sshbuf_free(packet);
}
