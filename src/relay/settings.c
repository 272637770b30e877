#include "relay/settings.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct settings {
    pthread_mutex_t lock;
    struct config *current; /* under lock */
    atomic_uint generation; /* of it; never 0 */
};

struct settings *settings_new(struct config *config)
{
    struct settings *settings = calloc(1, sizeof(*settings));

    if (!settings)
        return NULL;
    pthread_mutex_init(&settings->lock, NULL);
    settings->current = config;
    atomic_init(&settings->generation, 1);
    return settings;
}

void settings_free(struct settings *settings)
{
    if (!settings)
        return;
    config_free(settings->current);
    pthread_mutex_destroy(&settings->lock);
    free(settings);
}

void settings_replace(struct settings *settings, struct config *config)
{
    struct config *former;

    pthread_mutex_lock(&settings->lock);
    former = settings->current;
    settings->current = config;
    if (atomic_fetch_add(&settings->generation, 1) + 1 == 0)
        atomic_store(&settings->generation, 1);
    pthread_mutex_unlock(&settings->lock);
    config_free(former);
}

const struct relay_config *settings_read(struct settings_view *view)
{
    struct settings *settings = view->settings;

    if (view->generation != atomic_load(&settings->generation)) {
        struct config *former = view->held;

        pthread_mutex_lock(&settings->lock);
        view->held = config_reference(settings->current);
        view->generation = atomic_load(&settings->generation);
        pthread_mutex_unlock(&settings->lock);
        config_free(former);
    }
    return config_relay(view->held);
}

void settings_close(struct settings_view *view)
{
    config_free(view->held);
    *view = (struct settings_view)SETTINGS_VIEW_INIT(NULL);
}
