#include "stream.h"

#include <stdlib.h>
#include <string.h>

/* So often something is sent, if only to notice that nobody is there any more. */
#define SIGN_OF_LIFE_MS 5000
#define BLOCK ((size_t)16 * 1024)

struct stream {
    struct feed *feed;
    struct cursor cursor;
    char *text; /* what is being sent */
    size_t size;
    size_t sent;
};

/* Called in the client's own thread, which may wait. */
static ssize_t read_stream(void *argument, uint64_t position, char *buffer, size_t room)
{
    struct stream *stream = argument;
    size_t size;

    (void)position;
    if (stream->sent == stream->size) {
        free(stream->text);
        stream->text = NULL;
        if (!feed_wait(stream->feed, &stream->cursor, SIGN_OF_LIFE_MS, &stream->text))
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (stream->text && !*stream->text) {
            free(stream->text);
            stream->text = strdup(": nothing new\n\n");
        }
        if (!stream->text)
            return MHD_CONTENT_READER_END_WITH_ERROR; /* the browser comes again */
        stream->size = strlen(stream->text);
        stream->sent = 0;
    }
    size = stream->size - stream->sent < room ? stream->size - stream->sent : room;
    memcpy(buffer, stream->text + stream->sent, size);
    stream->sent += size;
    return (ssize_t)size;
}

static void free_stream(void *argument)
{
    struct stream *stream = argument;

    free(stream->text);
    free(stream);
}

struct MHD_Response *stream_response(struct feed *feed, int64_t last_alert)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    struct MHD_Response *response = NULL;

    if (!stream)
        return NULL;
    stream->feed = feed;
    stream->cursor.alert = last_alert;
    /* The first thing to say: after how many milliseconds to come again. */
    stream->text = strdup("retry: 1000\n\n");
    if (stream->text) {
        stream->size = strlen(stream->text);
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, stream, free_stream);
    }
    if (!response) {
        free_stream(stream);
        return NULL;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* nginx passes it on at once */
    return response;
}
