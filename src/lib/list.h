/* SPDX-License-Identifier: MIT */
/* Doubly linked circular list; a node that is on no list points to itself. */
#pragma once
#include "lib/types.h"

struct list { struct list *next, *prev; };

#define LIST_INIT(name) { &(name), &(name) }
static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_add(struct list *head, struct list *n)   /* first */
{ n->next = head->next; n->prev = head; head->next->prev = n; head->next = n; }
static inline void list_add_tail(struct list *head, struct list *n)
{ n->prev = head->prev; n->next = head; head->prev->next = n; head->prev = n; }
static inline void list_del(struct list *n)
{ n->prev->next = n->next; n->next->prev = n->prev; list_init(n); }
#define list_entry(p, type, member) container_of(p, type, member)
#define list_for_each(p, head) for ((p) = (head)->next; (p) != (head); (p) = (p)->next)
#define list_for_each_safe(p, n, head) \
    for ((p) = (head)->next, (n) = (p)->next; (p) != (head); (p) = (n), (n) = (p)->next)
