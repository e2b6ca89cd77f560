#include "guest/file.h"

#include <string.h>

#include "guest/internal.h"
#include "guest/task.h"

enum {
	MODE_TYPE = 0170000,
	DESCRIPTORS_MAX = 1 << 20, /* fs.nr_open's default */
	CHUNK = 512, /* pointers read at once */
};

static const char *mode_type(uint32_t mode)
{
	switch (mode & MODE_TYPE) {
	case 0100000:
		return "file";
	case 0040000:
		return "directory";
	case 0020000:
		return "character";
	case 0060000:
		return "block";
	case 0010000:
		return "pipe";
	case 0140000:
		return "socket";
	case 0120000:
		return "link";
	default:
		return "anonymous";
	}
}

struct file_fields {
	struct field inode, mode, position, flags;
};

static void describe(struct guest *guest, const struct file_fields *f, struct guest_file *file)
{
	uint64_t inode = guest_load(guest, file->gva, f->inode);
	file->type = mode_type(inode ? (uint32_t)guest_load(guest, inode, f->mode) : 0);
	file->inode = inode;
	file->has_position = f->position.found;
	file->has_flags = f->flags.found;
	file->position = guest_load(guest, file->gva, f->position);
	file->flags = (uint32_t)guest_load(guest, file->gva, f->flags);
}

static uint64_t slot(const uint8_t *bytes, unsigned word, size_t i)
{
	uint64_t value = 0;
	memcpy(&value, bytes + i * word, word);
	return value;
}

void guest_files_each(struct guest *guest, const struct guest_task *task, guest_file_fn *visit,
		      void *user)
{
	struct file_fields f = { .inode = guest_need_field(guest, "file.f_inode"),
				 .mode = guest_field(guest, "inode.i_mode"),
				 .position = guest_field(guest, "file.f_pos"),
				 .flags = guest_field(guest, "file.f_flags") };
	uint64_t files =
		guest_load(guest, task->gva, guest_need_field(guest, "task_struct.files"));
	if (!files)
		return;
	uint64_t table = guest_load(guest, files, guest_need_field(guest, "files_struct.fdt"));
	uint64_t count = guest_load(guest, table, guest_need_field(guest, "fdtable.max_fds"));
	uint64_t array = guest_load(guest, table, guest_need_field(guest, "fdtable.fd"));
	if (count > DESCRIPTORS_MAX) {
		guest_add_note(guest, "process %d claims %llu descriptors", task->pid,
			       (unsigned long long)count);
		count = DESCRIPTORS_MAX;
	}
	unsigned word = guest->word_bytes;
	uint8_t bytes[CHUNK * 8];
	for (uint64_t at = 0; at < count; at += CHUNK) {
		size_t n = count - at < CHUNK ? (size_t)(count - at) : CHUNK;
		if (!guest_read(guest, array + at * word, bytes, n * word))
			return;
		for (size_t i = 0; i < n; i++) {
			struct guest_file file = { .gva = slot(bytes, word, i),
						   .fd = (uint32_t)(at + i) };
			if (!file.gva || !guest_step(guest))
				continue;
			describe(guest, &f, &file);
			if (!visit(user, &file))
				return;
		}
	}
}
