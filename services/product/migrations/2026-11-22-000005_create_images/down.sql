drop function public.product_images_to_clear(timestamptz);
drop table public.product_image;
