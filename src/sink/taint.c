#include "sink/taint.h"

/* Source: https://kafka.apache.org/protocol#protocol_api_keys */
enum api_key {
    API_INIT_PRODUCER_ID = 22,
    API_ADD_PARTITIONS_TO_TXN = 24,
    API_ADD_OFFSETS_TO_TXN = 25,
    API_END_TXN = 26,
    API_TXN_OFFSET_COMMIT = 28
};

void taint_begin(struct taint *taint)
{
    atomic_store(&taint->lost, false);
    atomic_store(&taint->ends_sent, 0);
}

void taint_sent(struct taint *taint, int16_t api_key)
{
    if (api_key == API_END_TXN)
        atomic_fetch_add(&taint->ends_sent, 1);
}

void taint_answered(struct taint *taint, int16_t api_key, int error)
{
    if (error == 0)
        return;
    switch (api_key) {
    case API_INIT_PRODUCER_ID:
    case API_ADD_PARTITIONS_TO_TXN:
    case API_ADD_OFFSETS_TO_TXN:
    case API_END_TXN:
    case API_TXN_OFFSET_COMMIT:
        atomic_store(&taint->lost, true);
        break;
    default:
        break;
    }
}

bool taint_is(const struct taint *taint)
{
    return atomic_load(&taint->lost) || atomic_load(&taint->ends_sent) > 1;
}
