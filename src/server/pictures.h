/* Pictures drawn here for browsers without WebGPU: one renderer per VM, kept between pictures
 * and brought up to date by its dirty pages. Thread: any; pictures of one VM are drawn one
 * after the other. */
#ifndef SERVER_PICTURES_H
#define SERVER_PICTURES_H
#include "server/request.h"
struct error;
struct pictures;

struct error *pictures_create(struct pictures **ret);
void pictures_destroy(struct pictures *pictures);

/* Answers GET .../frame. query: camera=yaw,pitch,distance,x,y,z size=WxH mode= explode=
 * opacity= (percent) slice=x0-x1,y0-y1,z0-z1 (percent) sphere=x,y,z,radius (voxels)
 * hidden=kind,... pid= focus=0xA-0xB,... draft=1, and pick=x,y to get what lies there as JSON
 * instead of a JPEG. Fails: ERR_USAGE, ERR_GPU, what opening the VM fails with. */
struct error *pictures_answer(struct pictures *pictures, const char *vm, const char *query,
			      struct http_response *response);
#endif
