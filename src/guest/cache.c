#include "guest/internal.h"
bool guest_cache_load(struct guest *guest)
{
	(void)guest;
	return false;
}
void guest_cache_save(struct guest *guest)
{
	(void)guest;
}
