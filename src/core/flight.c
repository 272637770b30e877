#include "core/flight.h"

#include <assert.h>
#include <stddef.h>

bool flight_has_room(const struct flight *flight, int pages, int64_t bytes)
{
    if (flight->count == 0)
        return true;
    return flight->count < pages && flight->count < FLIGHT_PAGES && flight->bytes < bytes;
}

void flight_push(struct flight *flight, const struct lane_page *page)
{
    assert(flight->count < FLIGHT_PAGES);
    flight->pages[(flight->first + flight->count) % FLIGHT_PAGES] = *page;
    flight->count++;
    flight->bytes += page->bytes;
}

const struct lane_page *flight_oldest(const struct flight *flight)
{
    return flight->count > 0 ? &flight->pages[flight->first] : NULL;
}

struct lane_page flight_pop(struct flight *flight)
{
    struct lane_page page = flight->pages[flight->first];

    assert(flight->count > 0);
    flight->first = (flight->first + 1) % FLIGHT_PAGES;
    flight->count--;
    flight->bytes -= page.bytes;
    return page;
}

const struct lane_page *flight_youngest(const struct flight *flight)
{
    return flight->count > 0 ? &flight->pages[(flight->first + flight->count - 1) % FLIGHT_PAGES] : NULL;
}

struct lane_page flight_take_back(struct flight *flight)
{
    struct lane_page page;

    assert(flight->count > 0);
    page = *flight_youngest(flight);
    flight->count--;
    flight->bytes -= page.bytes;
    return page;
}

bool flight_holds(const struct flight *flight, uint64_t id)
{
    for (int i = 0; id != 0 && i < flight->count; i++) {
        if (flight->pages[(flight->first + i) % FLIGHT_PAGES].id == id)
            return true;
    }
    return false;
}
