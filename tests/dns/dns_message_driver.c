/* Reads messages, each after its length in two bytes, and does with each all that dns_message.h offers. For sanitizers. */
#include <stdio.h>
#include <stdlib.h>

#include "dns_message.h"

int
main(void)
{
	struct dns_request request;
	char text[DNS_NAME_TEXT_MAX];
	uint8_t size[2], *message;
	size_t length, limit, kept;
	unsigned long messages = 0;

	while (fread(size, 1, 2, stdin) == 2) {
		length = (size_t)(size[0] << 8 | size[1]);
		if ((message = malloc(length > 0 ? length : 1)) == NULL || fread(message, 1, length, stdin) != length)
			return 1;
		dns_request_parse(message, length, &request);
		if (dns_name_text(request.qname, request.qname_length, text) > sizeof(text))
			return 2;
		for (limit = length, kept = length; limit > DNS_HEADER_LENGTH; limit /= 2)
			kept = dns_reply_cut(message, kept, limit);
		if (length >= DNS_HEADER_LENGTH && kept > length)
			return 3;
		free(message);
		messages++;
	}
	printf("%lu\n", messages);
	return 0;
}
