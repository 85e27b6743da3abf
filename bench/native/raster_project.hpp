// From a 3D Gaussian to a splat in the image and back: EWA projection, spherical harmonics, and their gradients. Everything
// is done for kLanes Gaussians at once, one per lane.
#pragma once

#include "raster_simd.hpp"

namespace raster {

/// A pinhole camera. The margins are where gsplat clamps the point at which the projection is made linear: 15 % of the image
/// size beyond its border; further out the linear map would smear a Gaussian over the whole image.
struct Camera {
    float rotation[3][3], translation[3], fx, fy, cx, cy;
    double inverse[3][3];  // of the rotation
    float centre[3];       // -inverse * translation
    float left, right, top, bottom;

    Camera(const float* world_to_camera, const float* intrinsics, int32_t width, int32_t height) {
        double r[3][3];
        for (int i = 0; i < 3; ++i) {
            for (int j = 0; j < 3; ++j) r[i][j] = rotation[i][j] = world_to_camera[4 * i + j];
            translation[i] = world_to_camera[4 * i + 3];
        }
        fx = intrinsics[0], fy = intrinsics[4], cx = intrinsics[2], cy = intrinsics[5];
        double determinant = 0;
        for (int i = 0; i < 3; ++i) {
            for (int j = 0; j < 3; ++j) {
                const int a = (j + 1) % 3, b = (j + 2) % 3, c = (i + 1) % 3, d = (i + 2) % 3;
                inverse[i][j] = r[a][c] * r[b][d] - r[a][d] * r[b][c];
            }
            determinant += r[0][i] * inverse[i][0];
        }
        for (int i = 0; i < 3; ++i) {
            double at = 0;
            for (int j = 0; j < 3; ++j) {
                inverse[i][j] /= determinant;
                at -= inverse[i][j] * translation[j];
            }
            centre[i] = static_cast<float>(at);
        }
        const float margin_x = 0.15f * width / fx, margin_y = 0.15f * height / fy;
        left = -(cx / fx + margin_x), right = (width - cx) / fx + margin_x;
        top = -(cy / fy + margin_y), bottom = (height - cy) / fy + margin_y;
    }
};

/// Gaussians of one block, lane by lane.
struct Block {
    Vector mean[3], quaternion[4], scale[3];
};

/// The projection of a block, with what its gradient needs again.
struct Projection {
    Vector camera[3];                // the means in camera coordinates
    Vector slope_x, slope_y;         // camera x / z and y / z, clamped to the margins
    Integers inside_x, inside_y;     // where they were not clamped
    Vector row_x[3], row_y[3];       // the projection's Jacobian times the camera's rotation
    Vector unit[4], inverse_norm;    // the quaternion, normalised
    Vector rotation[3][3];           // of the quaternion
    Vector image_x[3], image_y[3];   // the Gaussian's three axes in the image
    Vector x, y;                     // the mean in the image, pixels
    Vector xx, xy, yy, determinant;  // 2D covariance, low-pass included

    Projection(const Camera& c, const Block& block, float low_pass) {
        for (int i = 0; i < 3; ++i) {
            camera[i] = c.rotation[i][0] * block.mean[0] + c.rotation[i][1] * block.mean[1] +
                        c.rotation[i][2] * block.mean[2] + c.translation[i];
        }
        const Vector inverse_z = 1.0f / camera[2];
        const Vector tangent_x = camera[0] * inverse_z, tangent_y = camera[1] * inverse_z;
        inside_x = (tangent_x >= c.left) & (tangent_x <= c.right);
        inside_y = (tangent_y >= c.top) & (tangent_y <= c.bottom);
        slope_x = greatest(least(tangent_x, spread(c.right)), spread(c.left));
        slope_y = greatest(least(tangent_y, spread(c.bottom)), spread(c.top));
        x = c.fx * tangent_x + c.cx;
        y = c.fy * tangent_y + c.cy;
        for (int i = 0; i < 3; ++i) {
            row_x[i] = c.fx * inverse_z * (c.rotation[0][i] - slope_x * c.rotation[2][i]);
            row_y[i] = c.fy * inverse_z * (c.rotation[1][i] - slope_y * c.rotation[2][i]);
        }
        rotate(block.quaternion);
        for (int j = 0; j < 3; ++j) {
            const Vector axis[3] = {rotation[0][j] * block.scale[j], rotation[1][j] * block.scale[j],
                                    rotation[2][j] * block.scale[j]};
            image_x[j] = row_x[0] * axis[0] + row_x[1] * axis[1] + row_x[2] * axis[2];
            image_y[j] = row_y[0] * axis[0] + row_y[1] * axis[1] + row_y[2] * axis[2];
        }
        const Vector square_x = image_x[0] * image_x[0] + image_x[1] * image_x[1] + image_x[2] * image_x[2];
        const Vector square_y = image_y[0] * image_y[0] + image_y[1] * image_y[1] + image_y[2] * image_y[2];
        xx = square_x + low_pass;
        yy = square_y + low_pass;
        xy = image_x[0] * image_y[0] + image_x[1] * image_y[1] + image_x[2] * image_y[2];
        // det(A A^T + e I) by Lagrange's identity: xx * yy - xy * xy would lose every digit for a long thin splat.
        const Vector a = image_x[1] * image_y[2] - image_x[2] * image_y[1];
        const Vector b = image_x[2] * image_y[0] - image_x[0] * image_y[2];
        const Vector d = image_x[0] * image_y[1] - image_x[1] * image_y[0];
        determinant = a * a + b * b + d * d + low_pass * (square_x + square_y) + low_pass * low_pass;
    }

  private:
    void rotate(const Vector* q) {
        inverse_norm = 1.0f / square_root(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
        for (int i = 0; i < 4; ++i) unit[i] = q[i] * inverse_norm;
        const Vector w = unit[0], i = unit[1], j = unit[2], k = unit[3];
        rotation[0][0] = 1.0f - 2.0f * (j * j + k * k);
        rotation[0][1] = 2.0f * (i * j - w * k);
        rotation[0][2] = 2.0f * (i * k + w * j);
        rotation[1][0] = 2.0f * (i * j + w * k);
        rotation[1][1] = 1.0f - 2.0f * (i * i + k * k);
        rotation[1][2] = 2.0f * (j * k - w * i);
        rotation[2][0] = 2.0f * (i * k - w * j);
        rotation[2][1] = 2.0f * (j * k + w * i);
        rotation[2][2] = 1.0f - 2.0f * (i * i + j * j);
    }
};

/// Gradients of a loss by what the compositing reads of a splat: its place, its 2D covariance (the off-diagonal entry
/// counted once per side) and its depth.
struct SplatGradient {
    Vector x, y, xx, xy, yy, depth;
};

/// Gradients by a block's Gaussians, and its share of the pose's.
struct BlockGradient {
    Vector mean[3], quaternion[4], scale[3];
    Vector pose_rotation[3][3], pose_translation[3];
};

inline void project_backward(const Camera& c, const Block& block, const Projection& p, const SplatGradient& g,
                             BlockGradient& out) {
    // Covariance = A A^T, A the rows image_x and image_y = row * rotation * scale.
    Vector row_x[3] = {}, row_y[3] = {}, rotation[3][3];
    for (int j = 0; j < 3; ++j) {
        const Vector image_x = 2.0f * (g.xx * p.image_x[j] + g.xy * p.image_y[j]);
        const Vector image_y = 2.0f * (g.xy * p.image_x[j] + g.yy * p.image_y[j]);
        out.scale[j] = Vector{};
        for (int i = 0; i < 3; ++i) {
            const Vector axis = p.row_x[i] * image_x + p.row_y[i] * image_y;
            out.scale[j] += axis * p.rotation[i][j];
            rotation[i][j] = axis * block.scale[j];
            const Vector scaled = p.rotation[i][j] * block.scale[j];
            row_x[i] += image_x * scaled;
            row_y[i] += image_y * scaled;
        }
    }

    const Vector w = p.unit[0], x = p.unit[1], y = p.unit[2], z = p.unit[3];
    const Vector zy = rotation[2][1] - rotation[1][2], s_yz = rotation[2][1] + rotation[1][2];
    const Vector xz = rotation[0][2] - rotation[2][0], s_xz = rotation[0][2] + rotation[2][0];
    const Vector yx = rotation[1][0] - rotation[0][1], s_xy = rotation[1][0] + rotation[0][1];
    const Vector unit[4] = {
        2.0f * (x * zy + y * xz + z * yx),
        2.0f * (w * zy + y * s_xy + z * s_xz - 2.0f * x * (rotation[1][1] + rotation[2][2])),
        2.0f * (w * xz + x * s_xy + z * s_yz - 2.0f * y * (rotation[0][0] + rotation[2][2])),
        2.0f * (w * yx + x * s_xz + y * s_yz - 2.0f * z * (rotation[0][0] + rotation[1][1])),
    };
    const Vector along = unit[0] * w + unit[1] * x + unit[2] * y + unit[3] * z;
    for (int i = 0; i < 4; ++i) out.quaternion[i] = (unit[i] - along * p.unit[i]) * p.inverse_norm;

    // row_x = fx / z (R0 - slope_x R2), row_y likewise; slope_x = camera x / z unless it was clamped.
    const Vector inverse_z = 1.0f / p.camera[2];
    const Vector fx_z = c.fx * inverse_z, fy_z = c.fy * inverse_z;
    Vector along_x{}, along_y{}, slope_x{}, slope_y{};
    for (int i = 0; i < 3; ++i) {
        along_x += row_x[i] * p.row_x[i];
        along_y += row_y[i] * p.row_y[i];
        slope_x -= row_x[i] * fx_z * c.rotation[2][i];
        slope_y -= row_y[i] * fy_z * c.rotation[2][i];
        out.pose_rotation[0][i] = fx_z * row_x[i];
        out.pose_rotation[1][i] = fy_z * row_y[i];
        out.pose_rotation[2][i] = -fx_z * p.slope_x * row_x[i] - fy_z * p.slope_y * row_y[i];
    }
    slope_x = p.inside_x ? slope_x : Vector{};
    slope_y = p.inside_y ? slope_y : Vector{};
    const Vector tangent_x = c.fx * g.x + slope_x, tangent_y = c.fy * g.y + slope_y;
    const Vector camera[3] = {
        tangent_x * inverse_z,
        tangent_y * inverse_z,
        g.depth - inverse_z * (along_x + along_y + inverse_z * (p.camera[0] * tangent_x + p.camera[1] * tangent_y)),
    };
    for (int i = 0; i < 3; ++i) {
        out.mean[i] = c.rotation[0][i] * camera[0] + c.rotation[1][i] * camera[1] + c.rotation[2][i] * camera[2];
        out.pose_translation[i] = camera[i];
        for (int j = 0; j < 3; ++j) out.pose_rotation[i][j] += camera[i] * block.mean[j];
    }
}

/// Real spherical harmonics at unit vectors, in the order and with the signs of 3D Gaussian Splatting. count: 1, 4, 9 or 16.
inline void harmonics(int count, Vector x, Vector y, Vector z, Vector* basis) {
    basis[0] = spread(0.28209479177387814f);
    if (count < 4) return;
    basis[1] = -0.4886025119029199f * y;
    basis[2] = 0.4886025119029199f * z;
    basis[3] = -0.4886025119029199f * x;
    if (count < 9) return;
    const Vector xx = x * x, yy = y * y, zz = z * z;
    basis[4] = 1.0925484305920792f * x * y;
    basis[5] = -1.0925484305920792f * y * z;
    basis[6] = 0.31539156525252005f * (3.0f * zz - 1.0f);
    basis[7] = -1.0925484305920792f * x * z;
    basis[8] = 0.5462742152960396f * (xx - yy);
    if (count < 16) return;
    basis[9] = -0.5900435899266435f * y * (3.0f * xx - yy);
    basis[10] = 2.890611442640554f * x * y * z;
    basis[11] = -0.4570457994644658f * y * (5.0f * zz - 1.0f);
    basis[12] = 0.3731763325901154f * z * (5.0f * zz - 3.0f);
    basis[13] = -0.4570457994644658f * x * (5.0f * zz - 1.0f);
    basis[14] = 1.445305721320277f * z * (xx - yy);
    basis[15] = -0.5900435899266435f * x * (xx - 3.0f * yy);
}

/// Gradient by the unit vector, given the gradient by the basis.
inline void harmonics_backward(int count, Vector x, Vector y, Vector z, const Vector* g, Vector* out) {
    out[0] = out[1] = out[2] = Vector{};
    if (count < 4) return;
    out[0] = -0.4886025119029199f * g[3];
    out[1] = -0.4886025119029199f * g[1];
    out[2] = 0.4886025119029199f * g[2];
    if (count < 9) return;
    const Vector xx = x * x, yy = y * y, zz = z * z;
    out[0] += 1.0925484305920792f * (y * g[4] - z * g[7] + x * g[8]);
    out[1] += 1.0925484305920792f * (x * g[4] - z * g[5] - y * g[8]);
    out[2] += 1.8923493915151202f * z * g[6] - 1.0925484305920792f * (y * g[5] + x * g[7]);
    if (count < 16) return;
    const float third = 0.5900435899266435f, middle = 0.4570457994644658f, product = 2.890611442640554f;
    out[0] += -6.0f * third * x * y * g[9] + product * y * z * g[10] - middle * (5.0f * zz - 1.0f) * g[13] +
              product * x * z * g[14] - third * 3.0f * (xx - yy) * g[15];
    out[1] += -3.0f * third * (xx - yy) * g[9] + product * x * z * g[10] - middle * (5.0f * zz - 1.0f) * g[11] -
              product * y * z * g[14] + 6.0f * third * x * y * g[15];
    out[2] += product * x * y * g[10] - 10.0f * middle * z * (y * g[11] + x * g[13]) +
              0.3731763325901154f * (15.0f * zz - 3.0f) * g[12] + 0.5f * product * (xx - yy) * g[14];
}

}  // namespace raster
