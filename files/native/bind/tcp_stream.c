/* See tcp_stream.h. */
#include "tcp_stream.h"

#define LENGTH_SIZE 2

/* Size of the message in hand with its length's bytes; 0 while these are not all there. */
static size_t
whole_size(const struct tcp_stream *stream)
{
	if (stream->unfinished < LENGTH_SIZE)
		return 0;
	return LENGTH_SIZE + ((size_t)stream->kept[0] << 8 | stream->kept[1]);
}

void
tcp_stream_take(struct tcp_stream *stream, const uint8_t *bytes, size_t length)
{
	size_t i, taken, left;

	for (i = 0; i < length; i += taken) {
		taken = length - i;
		if (!stream->broken) {
			/* Byte by byte up to the length, then as far as the message reaches. */
			left = whole_size(stream) == 0 ? 1 : whole_size(stream) - stream->unfinished;
			if (taken > left)
				taken = left;
		}
		for (left = 0; left < taken && stream->unfinished + left < TCP_STREAM_KEPT; left++)
			stream->kept[stream->unfinished + left] = bytes[i + left];
		stream->unfinished += taken;
		if (stream->broken)
			continue;
		if (whole_size(stream) == LENGTH_SIZE)
			stream->broken = true;
		else if (stream->unfinished == whole_size(stream)) {
			stream->spoke = true;
			stream->unfinished = 0;
		}
	}
}

bool
tcp_stream_owes(const struct tcp_stream *stream)
{
	return !stream->spoke || stream->unfinished > 0;
}
