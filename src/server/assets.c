#include "server/assets.h"

#include <string.h>

#include "server/request.h"

void assets_answer(const char *path, struct http_response *response)
{
	if (!strcmp(path, "/"))
		path = "/index.html";
	for (const struct asset *asset = asset_table; asset->path; asset++) {
		if (strcmp(asset->path, path))
			continue;
		*response = (struct http_response){ .status = 200,
						    .content_type = asset->content_type,
						    .cache_control = "no-cache",
						    .body = (char *)asset->bytes,
						    .body_bytes = asset->n_bytes,
						    .is_static = true };
		return;
	}
	http_response_text(response, 404, "there is nothing here; the page is at /\n");
}
