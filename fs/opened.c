#include "fs/opened.h"

#include <stddef.h>

void opened_init(struct opened_list *list)
{
        (void) pthread_mutex_init(&list->mutex, NULL);
        list->first = NULL;
}

uint64_t opened_add(struct opened_list *list, struct opened *opened, void (*close)(struct opened *opened))
{
        opened->close = close;
        (void) pthread_mutex_lock(&list->mutex);
        opened->next = list->first;
        opened->link = &list->first;
        if (list->first != NULL)
                list->first->link = &opened->next;
        list->first = opened;
        (void) pthread_mutex_unlock(&list->mutex);
        return (uint64_t) (uintptr_t) opened;
}

struct opened *opened_of(uint64_t handle)
{
        return (struct opened *) (uintptr_t) handle;
}

void opened_close(struct opened_list *list, uint64_t handle)
{
        struct opened *opened = opened_of(handle);
        (void) pthread_mutex_lock(&list->mutex);
        *opened->link = opened->next;
        if (opened->next != NULL)
                opened->next->link = opened->link;
        (void) pthread_mutex_unlock(&list->mutex);
        opened->close(opened);
}

void opened_clear(struct opened_list *list)
{
        while (list->first != NULL)
                opened_close(list, (uint64_t) (uintptr_t) list->first);
        (void) pthread_mutex_destroy(&list->mutex);
}
