/* Debian's libgcc_eh.a, built for glibc, looks frames up with glibc's _dl_find_object. This is that function for musl, so that a
 * static program can unwind: a panic in one check is caught there, and the others go on. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stdint.h>

/* struct dl_find_object of glibc's <dlfcn.h>, as it is on x86-64. */
struct found {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame_header;
    unsigned long long reserved[7];
};

struct search {
    uintptr_t address;
    struct found *found;
};

static int look_into(struct dl_phdr_info *object, size_t size, void *data) {
    struct search *search = data;
    uintptr_t start = 0, end = 0, header = 0;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && search->address >= begin && search->address - begin < segment->p_memsz) {
            start = begin;
            end = begin + segment->p_memsz;
        }
        if (segment->p_type == PT_GNU_EH_FRAME) header = begin;
    }
    if (!start || !header) return 0;
    *search->found = (struct found){.map_start = (void *)start, .map_end = (void *)end, .eh_frame_header = (void *)header};
    return 1;
}

int _dl_find_object(void *address, struct found *found) {
    struct search search = {(uintptr_t)address, found};
    return dl_iterate_phdr(look_into, &search) == 1 ? 0 : -1;
}

/* libgcc_eh.a takes these for absent unless something else wants them from libc.a, and would then not lock. */
__attribute__((used)) static void *const wanted[] = {
    pthread_once, pthread_mutex_lock, pthread_mutex_unlock, pthread_key_create, pthread_getspecific, pthread_setspecific,
};
