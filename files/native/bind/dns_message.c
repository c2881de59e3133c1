/* Reading and shortening DNS messages: see dns_message.h. */
#include "dns_message.h"

#include <string.h>

#define TYPE_OPT		41	/* RFC 6891, section 6.1.1 */
#define OPTION_ECS		8	/* RFC 7871, section 6 */
#define OPTION_COOKIE		10	/* RFC 7873, section 4 */

/* The second and third bytes of the header, RFC 1035, section 4.1.1 and RFC 4035, section 3. */
#define FLAG_QR			0x8000
#define FLAG_TC			0x0200
#define FLAG_RD			0x0100
#define FLAG_AD			0x0020
#define FLAG_CD			0x0010
#define FLAG_DO			0x8000	/* in OPT's TTL; RFC 3225, section 3 */

#define OPT_BARE_LENGTH		11	/* root name, type, class, TTL, length 0 */
#define RECORD_FIXED_LENGTH	10	/* type, class, TTL, length */

#define NAME_POINTERS_MAX	127	/* a name has at most 127 labels, and a pointer to a pointer is of no use */

/* The sections in the order of the header's counts. */
enum section { QUESTION, ANSWER, AUTHORITY, ADDITIONAL };

struct record {
	size_t		start;		/* offset of the owner's name */
	size_t		fixed;		/* offset of the type */
	size_t		end;		/* offset of what follows */
	bool		root;		/* owned by the root, in the one byte that OPT needs */
	uint16_t	type;
};

static uint16_t
get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void
put16(uint8_t *bytes, uint16_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static uint16_t
count(const uint8_t *message, enum section section)
{
	return get16(message + 4 + 2 * section);
}

static void
set_count(uint8_t *message, enum section section, uint16_t value)
{
	put16(message + 4 + 2 * section, value);
}

/*
 * Reads the name at *offset and moves *offset behind it. `name` may be NULL, else it gets the uncompressed name (at most
 * DNS_NAME_WIRE_MAX bytes). A pointer must lead to before where its name, or the part it was reached from, began (RFC
 * 1035, section 4.1.4: "a prior occurrence"), so that every jump leads further back and the loop ends. Their number is
 * limited too: thousands of names in one message of 64 KiB could otherwise each walk through all of it.
 */
static bool
read_name(const uint8_t *message, size_t length, size_t *offset, uint8_t *name, size_t *name_length)
{
	size_t at = *offset, floor = *offset, behind = 0, used = 0, target;
	unsigned int pointers = 0;
	uint8_t label;

	for (;;) {
		if (at >= length)
			return false;
		label = message[at];
		if ((label & 0xc0) == 0xc0) {
			if (length - at < 2)
				return false;
			target = get16(message + at) & 0x3fff;
			if (target >= floor || ++pointers > NAME_POINTERS_MAX)
				return false;
			if (behind == 0)
				behind = at + 2;
			at = floor = target;
			continue;
		}
		/* The other two kinds of label are obsolete: RFC 6891, section 5. */
		if ((label & 0xc0) != 0 || length - at < (size_t)label + 1 || used + label + 1 > DNS_NAME_WIRE_MAX)
			return false;
		if (name != NULL)
			memcpy(name + used, message + at, (size_t)label + 1);
		used += (size_t)label + 1;
		at += (size_t)label + 1;
		if (label == 0)
			break;
	}
	*offset = behind != 0 ? behind : at;
	if (name_length != NULL)
		*name_length = used;
	return true;
}

/* Reads the record at *offset and moves *offset behind it. */
static bool
read_record(const uint8_t *message, size_t length, size_t *offset, struct record *record)
{
	size_t data;

	record->start = *offset;
	if (!read_name(message, length, offset, NULL, NULL) || length - *offset < RECORD_FIXED_LENGTH)
		return false;
	record->fixed = *offset;
	record->root = record->fixed == record->start + 1;
	record->type = get16(message + record->fixed);
	data = get16(message + record->fixed + 8);
	if (length - record->fixed - RECORD_FIXED_LENGTH < data)
		return false;
	*offset = record->end = record->fixed + RECORD_FIXED_LENGTH + data;
	return true;
}

/* Reads OPT. False when it may not be where it is, or its options do not fill it exactly. */
static bool
read_opt(const uint8_t *message, const struct record *record, struct dns_request *request)
{
	size_t at = record->fixed + RECORD_FIXED_LENGTH, option_length;

	if (!record->root || request->has_edns)
		return false;
	request->has_edns = true;
	request->udpsize = get16(message + record->fixed + 2);
	request->edns_version = message[record->fixed + 5];
	request->dnssec_ok = (get16(message + record->fixed + 6) & FLAG_DO) != 0;
	while (at < record->end) {
		if (record->end - at < 4)
			return false;
		option_length = get16(message + at + 2);
		if (record->end - at - 4 < option_length)
			return false;
		switch (get16(message + at)) {
		case OPTION_ECS:
			request->ecs = true;
			break;
		case OPTION_COOKIE:
			request->cookie = true;
			break;
		}
		at += 4 + option_length;
	}
	return true;
}

/* Reads the question at *offset into the request when it is the first. */
static bool
read_question(const uint8_t *message, size_t length, size_t *offset, struct dns_request *request)
{
	bool first = !request->has_question;

	if (!read_name(message, length, offset, first ? request->qname : NULL, first ? &request->qname_length : NULL) ||
	    length - *offset < 4)
		return false;
	if (first) {
		request->has_question = true;
		request->qtype = get16(message + *offset);
		request->qclass = get16(message + *offset + 2);
	}
	*offset += 4;
	return true;
}

/*
 * Reads all that follows the header. False when it does not parse. Bytes after it are nobody's business: named answers
 * such a message, and so it is a query.
 */
static bool
read_sections(const uint8_t *message, size_t length, struct dns_request *request)
{
	struct record record;
	size_t offset = DNS_HEADER_LENGTH;
	int section;
	unsigned int i;

	for (i = count(message, QUESTION); i > 0; i--)
		if (!read_question(message, length, &offset, request))
			return false;
	for (section = ANSWER; section <= ADDITIONAL; section++)
		for (i = count(message, (enum section)section); i > 0; i--) {
			if (!read_record(message, length, &offset, &record))
				return false;
			if (record.type == TYPE_OPT &&
			    (section != ADDITIONAL || !read_opt(message, &record, request)))
				return false;
		}
	return true;
}

void
dns_request_parse(const uint8_t *bytes, size_t length, struct dns_request *request)
{
	uint16_t flags;
	bool whole;

	memset(request, 0, sizeof(*request));
	request->length = length;
	if (length < DNS_HEADER_LENGTH) {
		request->kind = DNS_SHORT;
		return;
	}
	flags = get16(bytes + 2);
	request->id = get16(bytes);
	request->opcode = (flags >> 11) & 0xf;
	request->rd = (flags & FLAG_RD) != 0;
	request->ad = (flags & FLAG_AD) != 0;
	request->cd = (flags & FLAG_CD) != 0;
	whole = read_sections(bytes, length, request);
	if ((flags & FLAG_QR) != 0)
		request->kind = DNS_RESPONSE;
	else if (request->opcode != 0)
		request->kind = DNS_OPCODE;
	else if (!whole)
		request->kind = DNS_MALFORMED;
	else if (count(bytes, QUESTION) != 1)
		request->kind = DNS_QUESTION;
	else
		request->kind = DNS_QUERY;
}

const char *
dns_request_reason(enum dns_request_kind kind)
{
	switch (kind) {
	case DNS_SHORT:
		return "short";
	case DNS_RESPONSE:
		return "response";
	case DNS_OPCODE:
		return "opcode";
	case DNS_QUESTION:
		return "question";
	case DNS_MALFORMED:
		return "malformed";
	case DNS_QUERY:
		break;
	}
	return "-";
}

size_t
dns_name_text(const uint8_t *wire, size_t length, char *out)
{
	static const char special[] = ".\\\"();@$";
	size_t at = 0, used = 0, label;
	uint8_t c;

	if (length <= 1 || length > DNS_NAME_WIRE_MAX) {
		out[0] = '.';
		return 1;
	}
	while (at < length && (label = wire[at++]) != 0) {
		for (; label > 0 && at < length; label--) {
			c = wire[at++];
			if (c > 0x20 && c < 0x7f) {
				if (strchr(special, c) != NULL)
					out[used++] = '\\';
				out[used++] = (char)c;
			} else {
				out[used++] = '\\';
				out[used++] = (char)('0' + c / 100);
				out[used++] = (char)('0' + c / 10 % 10);
				out[used++] = (char)('0' + c % 10);
			}
		}
		out[used++] = '.';
	}
	return used;
}

/* Where the parts of a reply end. */
struct reply_map {
	size_t		question_end;
	size_t		answers_end;
	bool		has_opt;
	struct record	opt;
};

/* Finds them. What named writes always parses; false would mean that nothing but the header can be kept. */
static bool
map_reply(const uint8_t *reply, size_t length, struct reply_map *map)
{
	struct record record;
	size_t offset = DNS_HEADER_LENGTH;
	int section;
	unsigned int i;

	memset(map, 0, sizeof(*map));
	for (i = count(reply, QUESTION); i > 0; i--) {
		if (!read_name(reply, length, &offset, NULL, NULL) || length - offset < 4)
			return false;
		offset += 4;
	}
	map->question_end = map->answers_end = offset;
	for (section = ANSWER; section <= ADDITIONAL; section++)
		for (i = count(reply, (enum section)section); i > 0; i--) {
			if (!read_record(reply, length, &offset, &record))
				return false;
			if (section == ANSWER)
				map->answers_end = offset;
			if (record.type == TYPE_OPT && record.root && !map->has_opt) {
				map->has_opt = true;
				map->opt = record;
			}
		}
	return true;
}

size_t
dns_reply_cut(uint8_t *reply, size_t length, size_t limit)
{
	struct reply_map map;
	size_t end;

	if (length <= limit || length < DNS_HEADER_LENGTH)
		return length;
	if (!map_reply(reply, length, &map))
		memset(&map, 0, sizeof(map));
	set_count(reply, AUTHORITY, 0);
	set_count(reply, ADDITIONAL, 0);
	end = map.answers_end;
	if (end < DNS_HEADER_LENGTH || end > limit) {
		if (count(reply, ANSWER) > 0)
			put16(reply + 2, get16(reply + 2) | FLAG_TC);
		set_count(reply, ANSWER, 0);
		end = map.question_end;
	}
	if (end < DNS_HEADER_LENGTH || end > limit) {
		set_count(reply, QUESTION, 0);
		end = DNS_HEADER_LENGTH;
	}
	/* OPT without its options: it holds the upper bits of the RCODE. */
	if (map.has_opt && end + OPT_BARE_LENGTH <= limit) {
		memmove(reply + end, reply + map.opt.start, OPT_BARE_LENGTH);
		put16(reply + end + OPT_BARE_LENGTH - 2, 0);
		set_count(reply, ADDITIONAL, 1);
		end += OPT_BARE_LENGTH;
	}
	return end;
}
