/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A slot is a word that the loader fills with the address of a function: programs call
 * through it (R_X86_64_JUMP_SLOT, or R_X86_64_GLOB_DAT where code was built with
 * -fno-plt). A slot is ours to change only if calls through it go to the real function
 * that we would call in its place: then nothing changes but that we see the call. So
 * programs with several allocators keep each its own.
 *
 * A slot that is not filled yet (lazy binding) points into its own object's PLT. It
 * becomes the first definition there is, which is the real one unless another
 * allocator could come before it in that object's own scope.
 */
#include "daemon/heap/loaded.h"
#include "daemon/heap/system.h"

#include <sys/mman.h>

#if defined(__x86_64__)
#define TYPE_JUMP R_X86_64_JUMP_SLOT
#define TYPE_DATA R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define TYPE_JUMP R_AARCH64_JUMP_SLOT
#define TYPE_DATA R_AARCH64_GLOB_DAT
#endif

struct walk {
	bool restore;
	const struct heap_function *wanted[HEAP_FUNCTIONS_MAX]; /* that go in, or come out */
	size_t wanted_count;
	uint64_t slots;
	int error;
};

/* One object's read-only slots, made writable when the first is to be changed. */
static int unlock(const struct heap_object *object, uintptr_t slot, bool *unlocked)
{
	int r;

	if (*unlocked || slot < object->locked || slot >= object->locked_end)
		return 0;
	r = system_protect(object->locked, object->locked_end - object->locked,
			   PROT_READ | PROT_WRITE);
	*unlocked = !r;
	return r;
}

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* The function that goes into the slot, or the one that comes out of it; NULL: leave it. */
static const struct heap_function *function_of(const struct walk *walk,
					       const struct heap_object *object,
					       const Elf64_Rela *relocation, uintptr_t value)
{
	uint32_t type = (uint32_t)ELF64_R_TYPE(relocation->r_info);
	const char *name =
		object->strings + object->symbols[ELF64_R_SYM(relocation->r_info)].st_name;

	for (size_t i = 0; i < walk->wanted_count; i++) {
		const struct heap_function *function = walk->wanted[i];
		uintptr_t ours = (uintptr_t)function->replacement;
		bool unfilled;

		if (walk->restore) {
			if (value == ours)
				return function;
			continue;
		}
		if (name[0] != function->name[0] || !equal(name, function->name))
			continue;
		unfilled = type == TYPE_JUMP && !heap_other_allocators() &&
			   heap_object_has_address(object, value);
		return value == heap_real_of(function) || unfilled ? function : NULL;
	}
	return NULL;
}

static int change(struct walk *walk, const struct heap_object *object,
		  const Elf64_Rela *relocations, size_t count, bool *unlocked)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t type = (uint32_t)ELF64_R_TYPE(relocations[i].r_info);
		uintptr_t *slot = (uintptr_t *)(object->base + relocations[i].r_offset);
		const struct heap_function *function;
		int r;

		if ((type != TYPE_JUMP && type != TYPE_DATA) ||
		    !heap_object_has_address(object, (uintptr_t)slot))
			continue;
		function = function_of(walk, object, &relocations[i],
				       __atomic_load_n(slot, __ATOMIC_RELAXED));
		if (!function)
			continue;
		r = unlock(object, (uintptr_t)slot, unlocked);
		if (r < 0)
			return r;
		__atomic_store_n(slot,
				 walk->restore ? heap_real_of(function)
					       : (uintptr_t)function->replacement,
				 __ATOMIC_RELEASE);
		walk->slots++;
	}
	return 0;
}

static int walk_object(struct dl_phdr_info *info, size_t size, void *context)
{
	struct walk *walk = context;
	struct heap_object object;
	bool unlocked = false;
	int r;

	(void)size;
	if (!heap_object_read(info, &object) || heap_object_is_ours(&object))
		return 0;
	perfd_heap_control.objects++;
	r = change(walk, &object, object.jumps, object.jump_count, &unlocked);
	if (!r)
		r = change(walk, &object, object.relocations + object.relative_count,
			   object.relocation_count - object.relative_count, &unlocked);
	if (unlocked)
		system_protect(object.locked, object.locked_end - object.locked, PROT_READ);
	/* On the way out as much is put back as can be. */
	walk->error = r < 0 ? r : walk->error;
	return r < 0 && !walk->restore;
}

static int walk_objects(struct walk *walk)
{
	if (walk->wanted_count)
		dl_iterate_phdr(walk_object, walk);
	return walk->error;
}

int heap_slots_patch(bool extra)
{
	struct walk walk = {0};
	int r;

	for (size_t i = 0; i < heap_function_count; i++) {
		const struct heap_function *function = &heap_functions[i];

		if (heap_replaces(function) && (!extra || function->kind == HEAP_KIND_EXTRA))
			walk.wanted[walk.wanted_count++] = function;
	}
	r = walk_objects(&walk);
	perfd_heap_control.slots += walk.slots;
	return r;
}

int heap_slots_restore(void)
{
	struct walk walk = {.restore = true};
	int r;

	for (size_t i = 0; i < heap_function_count; i++)
		walk.wanted[walk.wanted_count++] = &heap_functions[i];
	r = walk_objects(&walk);
	perfd_heap_control.slots -= walk.slots;
	return r;
}
